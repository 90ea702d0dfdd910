"""What one attempt writes: small objects wait and go out together, large ones as they come.

Volumes of a few voxels make hundreds of small objects a unit. Written one by one, each waits for
the disk (6.8 ms a piece) or the network; together they share the wait (0.2 ms a piece). Large ones
come in pieces that go out at once: no shard waits in memory to be joined, and each piece is summed
and written while the processor's cache holds it. They wait for the disk with the small ones: it
writes while they are read back, and while what follows is made. A large object's hash is that of
what was read back, once the CRC-32C of every piece has shown that this is what was written: so it
is hashed once, and not twice. (One sum over all would say nothing: a chunk and its own CRC-32C
behind it sum to a constant.)
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from blake3 import blake3
from google_crc32c import value

from medray.errors import FatalError
from medray.storage.store.fence import taken
from medray.storage.store.objects import Objects, Pieces

LARGE_BYTES = 2**20
HELD_BYTES = 32 * 2**20
UNSETTLED = 32  # large objects that wait for the disk together


@dataclass
class _Begun:
    """An object some pieces of which are here.

    Args:
        sums: size and CRC-32C of each.
        size: of all, in bytes.
        pieces: that wait, as long as all of them are small.
        stream: that later ones go to.
    """

    sums: list[tuple[int, int]] = field(default_factory=list)
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)
    stream: Pieces | None = None


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
        self._begun: dict[str, _Begun] = {}
        self._waiting: dict[str, bytes] = {}
        self._unsettled: dict[str, Pieces] = {}
        self._held = 0

    def put(self, name: str, data: bytes) -> None:
        """Take an object; it is durable, read back and compared, after the next `flush`.

        Raises:
            RetryableError: storage failed, or gc took what was written (code "taken").
            FatalError: it does not read back as written (code "read-back-mismatch").
        """
        self.add(name, data)
        self.end(name)

    def add(self, name: str, *pieces: bytes, crc32c: int | None = None) -> None:
        """Take the next pieces of an object, the first with its CRC-32C where that is known.

        Raises as `put` does.
        """
        begun = self._begun.get(name)
        if begun is None:
            begun = self._begun[name] = _Begun()
            self.files[name] = (0, "")  # so that `drop` finds what never came to its end
        for piece in pieces:
            begun.size += len(piece)
            begun.sums.append((len(piece), value(piece) if crc32c is None else crc32c))
            crc32c = None
        if begun.stream is not None:  # an open file takes pieces, whoever has taken its name
            begun.stream.write(*pieces)
            return
        begun.pieces.extend(pieces)
        if begun.size >= LARGE_BYTES:
            with self._ours():
                begun.stream = self._objects.begin(f"{self.path}/{name}")
            begun.stream.write(*begun.pieces)
            begun.pieces.clear()

    def end(self, name: str) -> None:
        """Say that an object has all its pieces; raises as `put` does."""
        begun = self._begun.pop(name)
        if begun.stream is not None:
            self._unsettled[name] = begun.stream
            sizes = [size for size, _ in begun.sums]
            with self._ours():
                begun.stream.close()
                found = self._objects.sums_of(f"{self.path}/{name}", sizes)
            if found.pieces != begun.sums:
                raise self._mismatch(name)
            self.files[name] = (begun.size, found.whole)
            if len(self._unsettled) >= UNSETTLED:
                self.flush()
            return
        data = b"".join(begun.pieces)
        self.files[name] = (begun.size, blake3(data).hexdigest())
        self._waiting[name] = data
        self._held += begun.size
        if self._held > HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits, and wait for the disk to have all; raises as `put` does."""
        # What fails here may be half out, so from now on all of it counts as written.
        waiting, self._waiting, self._held = self._waiting, {}, 0
        begun, self._unsettled = self._unsettled, {}
        with self._ours():
            self._objects.put_all(self.path, waiting, begun.values())
            for name, data in waiting.items():
                if self._objects.get(f"{self.path}/{name}") != data:
                    raise self._mismatch(name)

    def drop(self, names: Iterable[str]) -> None:
        """Take objects back, written or not."""
        for name in list(names):
            del self.files[name]
            begun = self._begun.pop(name, None)
            stream = self._unsettled.pop(name, None) if begun is None else begun.stream
            if stream is not None:
                stream.abandon()
            waited = self._waiting.pop(name, None)
            if waited is None:
                self._objects.delete([f"{self.path}/{name}"])
            else:
                self._held -= len(waited)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """What nobody else may touch has gone: gc took it, and no input is to blame."""
        try:
            yield
        except FileNotFoundError as error:
            raise taken(self.path) from error

    def _mismatch(self, name: str) -> FatalError:
        return FatalError(
            "an object does not read back as it was written",
            code="read-back-mismatch",
            about=f"{self.path}/{name}",
            hint="the disk or the store is failing",
        )
