"""Arrow bodies are decoded in a process of their own: should one end it, that request is refused,
and the replica, its network and its other requests stay.

    python -m medray.modalities.apart BYTES    what a replica starts: bodies in, arrays out

What comes back is JSON and plain numbers; nothing is unpickled. The process has a limit of memory.
"""

import atexit
import contextlib
import json
import math
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from medray.errors import DataError

if TYPE_CHECKING:
    from medray.modalities.arrow import Kind, Row

DECODE_S = 30  # of one body; a decoder that takes longer is killed
_ROOM = 512 * 2**20  # besides what samples may take
_LENGTH = struct.Struct("<Q")


class Decoder:
    """A process that decodes, one body at a time, started when it is needed.

    Args:
        most: bytes of all samples of a body.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def read(self, body: bytes, wanted: "Mapping[str, Kind]") -> "list[Row]":
        """Id and values of each row; see `medray.modalities.arrow.read_rows`.

        Raises:
            DataError: as there, or the body ended the decoder (code "decoder-died").
        """
        with self._lock:
            process = self._started()
            late = threading.Timer(DECODE_S, process.kill)
            late.start()
            try:
                into, out = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
                for part in (json.dumps(dict(wanted)).encode(), body):
                    into.write(_LENGTH.pack(len(part)))
                    into.write(part)
                into.flush()
                return list(self._answer(out))
            except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
                self.close()
                raise DataError(
                    "the stream ended the process that decoded it", code="decoder-died"
                ) from error
            finally:
                late.cancel()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", __name__, str(self._most)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            )
        return self._process

    def _answer(self, stream: IO[bytes]) -> "Iterator[Row]":
        told = json.loads(_part(stream))
        if "code" in told:
            raise DataError(str(told["message"]), code=str(told["code"]))
        left = self._most
        for name, columns in told["rows"]:
            values = {}
            for column, shape, kind in columns:
                dtype = np.dtype(str(kind))
                size = math.prod(int(length) for length in shape) * dtype.itemsize
                left -= size
                if dtype.kind not in "uifb" or not 0 <= size <= left + size or left < 0:
                    raise ValueError
                values[str(column)] = np.frombuffer(_exactly(stream, size), dtype).reshape(shape)
            yield str(name), values


@cache
def decoder(most: int) -> Decoder:
    """The one of this process, for all bodies of so many bytes."""
    return Decoder(most)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _part(stream: IO[bytes]) -> bytes:
    return _exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0])


def main(most: int) -> None:
    """Decode bodies of standard input until its end."""
    from medray.modalities.arrow import read_rows

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    room = used + 3 * most + _ROOM
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold samples
    into, out = sys.stdin.buffer, sys.stdout.buffer
    while head := into.read(_LENGTH.size):
        wanted, body = json.loads(_exactly(into, _LENGTH.unpack(head)[0])), _part(into)
        arrays: list[np.ndarray] = []
        told: dict[str, Any]
        try:
            rows: list[Any] = []
            for name, values in read_rows(body, wanted, most):
                arrays += [np.ascontiguousarray(one) for one in values.values()]
                rows.append([name, [[c, v.shape, v.dtype.str] for c, v in values.items()]])
            told = {"rows": rows}
        except DataError as error:
            arrays, told = [], {"code": error.code, "message": error.message}
        except MemoryError:
            arrays, told = [], {"code": "too-large", "message": "decoding exceeds the limit"}
        text = json.dumps(told).encode()
        out.write(_LENGTH.pack(len(text)) + text)
        for one in arrays:
            out.write(one.data)
        out.flush()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        main(int(sys.argv[1]))
