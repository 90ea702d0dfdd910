"""Arrow bodies are decoded in a process of their own: should one end it, that request is refused,
and the replica, its network and its other requests stay.

    python -m medray.serving.apart BYTES    what the replica starts: bodies in, arrays out, by pipes

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
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from medray.errors import DataError

DECODE_S = 30  # of one body; a decoder that takes longer is killed
_ROOM = 512 * 2**20  # besides what images may take
_LENGTH = struct.Struct("<Q")


class Decoder:
    """A process that decodes, one body at a time, started when it is needed.

    Args:
        image_bytes: of all images of a body.
    """

    def __init__(self, image_bytes: int) -> None:
        self._image_bytes = image_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def read(self, body: bytes) -> list[tuple[str, np.ndarray]]:
        """Name and values of each image; see `medray.serving.arrow.read_images`.

        Raises:
            DataError: as there, or the body ended the decoder (code "decoder-died").
        """
        with self._lock:
            process = self._started()
            late = threading.Timer(DECODE_S, process.kill)
            late.start()
            try:
                into, out = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
                into.write(_LENGTH.pack(len(body)))
                into.write(body)
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
                [sys.executable, "-m", __name__, str(self._image_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            )
        return self._process

    def _answer(self, stream: IO[bytes]) -> Iterator[tuple[str, np.ndarray]]:
        told = json.loads(_exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0]))
        if "code" in told:
            raise DataError(str(told["message"]), code=str(told["code"]))
        left = self._image_bytes
        for name, shape, kind in told["images"]:
            dtype = np.dtype(str(kind))
            size = math.prod(int(length) for length in shape) * dtype.itemsize
            left -= size
            if dtype.kind not in "uifb" or not 0 <= size <= left + size or left < 0:
                raise ValueError
            values = np.frombuffer(_exactly(stream, size), dtype).reshape(shape)
            yield str(name), values


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def main(image_bytes: int) -> None:
    """Decode bodies of standard input until its end."""
    from medray.serving.arrow import read_images

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + 3 * image_bytes + _ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold images
    into, out = sys.stdin.buffer, sys.stdout.buffer
    while head := into.read(_LENGTH.size):
        body = _exactly(into, _LENGTH.unpack(head)[0])
        images: list[tuple[str, np.ndarray]] = []
        told: dict[str, Any]
        try:
            images = [(n, np.ascontiguousarray(v)) for n, v in read_images(body, image_bytes)]
            told = {"images": [[n, v.shape, v.dtype.str] for n, v in images]}
        except DataError as error:
            told = {"code": error.code, "message": error.message}
        except MemoryError:
            told = {"code": "image-too-large", "message": "decoding needs more than the limit"}
        text = json.dumps(told).encode()
        out.write(_LENGTH.pack(len(text)) + text)
        for _, values in images:
            out.write(values.data)
        out.flush()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        main(int(sys.argv[1]))
