"""What one attempt writes: small objects wait and go out together, large ones go at once.

Volumes of a few voxels make hundreds of small objects a unit. Written one by one, each waits for
the disk (6.8 ms a piece) or the network; eight at a time share the wait (0.3 ms a piece). Of a
bucket it is the profile that says how many.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from blake3 import blake3

from medray.errors import FatalError
from medray.storage.objects import Objects

LARGE_BYTES = 2**20
HELD_BYTES = 32 * 2**20


class Outbox:
    """Objects below one path, with their sizes and BLAKE3 hashes.

    Args:
        objects: where to.
        path: that all names lie below; nobody else writes there.
    """

    def __init__(self, objects: Objects, path: str) -> None:
        self.path = path
        self.files: dict[str, tuple[int, str]] = {}
        self._objects = objects
        self._waiting: dict[str, bytes] = {}
        self._held = 0

    def put(self, name: str, data: bytes) -> None:
        """Take an object; it is durable, read back and compared, after the next `flush`.

        Raises:
            RetryableError: storage failed.
            FatalError: it does not read back as written (code "read-back-mismatch").
        """
        self.files[name] = (len(data), blake3(data).hexdigest())
        if len(data) >= LARGE_BYTES:
            self._write(name, data)
            return
        self._waiting[name] = data
        self._held += len(data)
        if self._held > HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits; raises as `put` does."""
        # What fails here may be half out, so from now on all of it counts as written.
        waiting, self._waiting, self._held = self._waiting, {}, 0
        with ThreadPoolExecutor(self._objects.profile.concurrency) as pool:
            list(pool.map(self._write, waiting, waiting.values()))

    def drop(self, names: Iterable[str]) -> None:
        """Take objects back, written or not."""
        for name in list(names):
            del self.files[name]
            waited = self._waiting.pop(name, None)
            if waited is None:
                self._objects.delete([f"{self.path}/{name}"])
            else:
                self._held -= len(waited)

    def _write(self, name: str, data: bytes) -> None:
        path = f"{self.path}/{name}"
        self._objects.put(path, data)
        if self._objects.get(path) != data:
            raise FatalError(
                "an object does not read back as it was written",
                code="read-back-mismatch",
                about=path,
                hint="the disk or the store is failing",
            )
