"""Processes for RDKit, which now and then hangs or ends the process that it runs in.

    python -m medray.formats.molecules.nursery SOCKET MARKS    what `Nursery` starts

The nursery loads RDKit once (half a second) and does nothing but fork (some milliseconds), so a
process that is lost is soon replaced. A child is told what reads ("module:Class", made with its
options), then takes rows (`Child.give`) and answers with what it made of them (`Parsed`). Before it
touches a row it writes the row's number to memory that it shares with whoever asked. It ends with
its parent, has a limit of memory and leaves no core.
"""

import atexit
import contextlib
import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from medray.formats.molecules.marks import COLUMNS, IDLE, SLOTS, Marks
from medray.formats.molecules.parsed import Parsed
from medray.registry import load

_BYTES = 8 * COLUMNS * SLOTS
_ROOM = 4 * 2**30  # bytes that a child may take besides what it was born with
_PR_SET_PDEATHSIG = 1


class Reads(Protocol):
    """What reads rows in a child; made of options."""

    def read(self, texts: Sequence[str], marks: Marks) -> Parsed:
        """Rows in order, as far as `marks` lets it."""
        ...


class Child:
    """A process that reads rows, as its parent sees it."""

    def __init__(self, nursery: "Nursery", slot: int, connection: Connection) -> None:
        self.slot, self.connection = slot, connection
        self.marks = Marks(nursery.shared, slot)
        self._nursery = nursery

    def give(self, base: int, texts: Sequence[str]) -> None:
        """Have rows read; the answer comes through `connection`."""
        self.connection.send_bytes(json.dumps([base, texts]).encode())

    def answer(self) -> Parsed:
        """What was made of the rows that were given first.

        Raises:
            EOFError, OSError: the process has ended.
        """
        return Parsed.decode(self.connection.recv_bytes())

    def usage(self) -> tuple[float, bool]:
        """Processor seconds that it has had, and whether it has something to compute."""
        try:
            told = Path(f"/proc/{self.marks.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0, False  # it has ended, which its connection tells
        ticks = int(told[11]) + int(told[12])
        return ticks / os.sysconf("SC_CLK_TCK"), told[0] in "RD"

    def end(self) -> None:
        """Kill it."""
        self.connection.close()
        self._nursery.end(self.slot)


class Nursery:
    """Starts children of one process that has RDKit loaded."""

    def __init__(self) -> None:
        self._memory = os.memfd_create("medray-rows")
        os.ftruncate(self._memory, _BYTES)
        self._map = mmap.mmap(self._memory, _BYTES)
        self.shared = memoryview(self._map).cast("q")
        self._free = deque(range(SLOTS))  # the one that was freed last comes last
        self._lock = threading.Lock()
        self._orders, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            fds = (far.fileno(), self._memory)
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", __name__, *map(str, fds)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # RDKit quotes there what it reads
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
                pass_fds=fds,
            )

    @property
    def alive(self) -> bool:
        """Whether it can still be asked for children."""
        return self._process.poll() is None

    def child(self, reads: str, options: dict[str, Any], nice: int = 0) -> Child:
        """A new process.

        Args:
            reads: "module:Class" of a `Reads`.
            options: that it is made with, JSON-able.
            nice: how far it is to stand behind others where processors are busy.

        Raises:
            OSError: the nursery has ended.
        """
        near, far = socket.socketpair()
        with self._lock, far:
            slot = self._free.popleft()
            self.shared[slot], self.shared[slot + 2 * SLOTS] = IDLE, 0
            socket.send_fds(self._orders, [f"fork {slot}".encode()], [far.fileno()])
        connection = Connection(near.detach())
        connection.send_bytes(json.dumps([reads, options, sys.path, nice]).encode())
        return Child(self, slot, connection)

    def end(self, slot: int) -> None:
        """Kill the child of a slot, which is free then."""
        with self._lock:
            with contextlib.suppress(OSError):  # it has ended, and its children with it
                self._orders.send(f"kill {slot}".encode())
            self._free.append(slot)

    def close(self) -> None:
        """End it and all its children."""
        self._orders.close()
        self._process.wait()


_nurseries: dict[int, Nursery] = {}  # by process: after a fork it is the parent's
_starting = threading.Lock()


def nursery() -> Nursery:
    """The one of this process."""
    with _starting:
        found = _nurseries.get(os.getpid())
        if found is None or not found.alive:
            found = _nurseries[os.getpid()] = Nursery()
        return found


@atexit.register
def close() -> None:
    """End that of this process, if there is one."""
    found = _nurseries.pop(os.getpid(), None)
    if found is not None:
        found.close()


def serve(connection: Connection, marks: Marks) -> None:
    """What a child does: reads rows until nobody asks."""
    marks.own(os.getpid())
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, size + _ROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold rows
    target, options, sys.path[:], nice = json.loads(connection.recv_bytes())
    os.nice(nice)
    reader: Reads = load(target, target)(options)
    while True:
        base, texts = json.loads(connection.recv_bytes())
        marks.start(base, len(texts))
        parsed = reader.read(texts, marks)
        marks.rest()
        connection.send_bytes(parsed.encode())


def main(orders: int, memory: int) -> None:
    """Fork and kill as asked, until nobody asks."""
    from rdkit import Chem, RDLogger  # noqa: F401 - what children would load, each anew
    from rdkit.Chem import Descriptors  # noqa: F401 - takes longer than a row may stand still

    from medray.formats.molecules import reading  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    shared = memoryview(mmap.mmap(memory, _BYTES)).cast("q")
    with socket.socket(fileno=orders) as asked:
        children: dict[int, int] = {}
        while True:
            order, fds, _, _ = socket.recv_fds(asked, 64, 1)
            if not order:
                break
            verb, slot = order.decode().split()
            if verb == "kill":
                _kill(children.pop(int(slot)))
                continue
            pid = os.fork()
            if not pid:
                asked.close()
                _born(Connection(fds[0]), Marks(shared, int(slot)))
            os.close(fds[0])
            children[int(slot)] = pid
        for pid in children.values():
            _kill(pid)


def _born(connection: Connection, marks: Marks) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        with contextlib.suppress(EOFError, OSError):
            serve(connection, marks)
    finally:
        os._exit(0)  # nothing of the nursery's is a child's to tidy up


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)  # until it is waited for the number is nobody else's
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
