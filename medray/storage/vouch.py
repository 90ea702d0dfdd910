"""Small files held against their hashes by processes of their own.

The threads of one process open files one at a time, for they share Python's lock: of 100,000 files
on two cores that is half of the time. What a process vouches for is sound. For all else, damage or
a large file or its own end, it says nothing, and who asked looks for himself.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from blake3 import blake3

PROCESSES = 8  # at most
THREADS = 4  # of each, which wait for the disk together
GROUP = 64  # files that a thread takes at once
LARGEST = 2**14  # bytes; a larger file keeps a thread busy without the lock


class Vouchers:
    """The processes, as a context.

    Args:
        root: folder that paths are below.
    """

    def __init__(self, root: Path) -> None:
        self.count = min(PROCESSES, len(os.sched_getaffinity(0)))
        self._root = root
        self.processes: list[subprocess.Popen[bytes]] = []
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()

    def __enter__(self) -> Self:
        for _ in range(self.count):
            # By its file: to import the room takes a second. -P: what lies beside is no library.
            command = [sys.executable, "-P", __file__, str(self._root)]
            pipe = subprocess.PIPE
            self.processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe))  # noqa: S603
            self._free.put(self.processes[-1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def vouch(self, files: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each file, a path and its BLAKE3, is known to be sound. From any thread."""
        process = self._free.get()
        answer = b""
        try:
            if process.stdin and process.stdout:
                process.stdin.write(json.dumps(files).encode() + b"\n")
                process.stdin.flush()
                answer = process.stdout.read(len(files))
        except OSError:
            pass  # it has ended
        finally:
            self._free.put(process)
        return [bool(one) for one in answer] if len(answer) == len(files) else [False] * len(files)


def _is_sound(file: tuple[str, str]) -> bool:
    path, known = file
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            data = os.read(handle, LARGEST)  # all of it: a file's reads are short at its end only
        finally:
            os.close(handle)
        return len(data) < LARGEST and blake3(data).hexdigest() == known
    except (OSError, ValueError):
        return False


def _answer(root: str) -> None:
    """What a process does: JSON in, a line for many files; a byte for each file out."""
    os.chdir(root)  # a short path is walked faster
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin.buffer:
            files = json.loads(line)
            groups = [files[start : start + GROUP] for start in range(0, len(files), GROUP)]
            for found in pool.map(lambda group: bytes(map(_is_sound, group)), groups):
                sys.stdout.buffer.write(found)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    _answer(sys.argv[1])
