"""Small files held against their hashes by processes of their own.

The threads of one process open files one at a time, for they share Python's lock: of 100,000 files
on two cores that is half of the time. What a process vouches for is sound. For all else, damage or
a large file or its own end, it says nothing, and who asked looks for himself.
"""

import marshal
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from medray.storage.store import sound

PROCESSES = 8  # at most


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
            # -P: what lies beside is no library.
            command = [sys.executable, "-P", sound.__file__, str(self._root)]
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

    def vouch(self, paths: Sequence[str], known: Sequence[str]) -> bytes:
        """Of each file, a path and its BLAKE3, whether it is known to be sound: 1, else 0.

        From any thread.
        """
        process = self._free.get()
        answer = b""
        try:
            if process.stdin and process.stdout:
                asked = marshal.dumps(([*paths], [*known]))
                process.stdin.write(len(asked).to_bytes(sound.SIZE) + asked)
                process.stdin.flush()
                answer = process.stdout.read(len(paths))
        except OSError:
            pass  # it has ended
        finally:
            self._free.put(process)
        return answer if len(answer) == len(paths) else bytes(len(paths))
