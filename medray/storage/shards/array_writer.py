"""Writing an array: slabs as they come.

One writer owns an array. Its shards follow each other along one axis, so the writer holds at most
one chunk row raw and one shard compressed, whatever the array's length along that axis.
"""

import itertools
import json
import math
from typing import Any

import numpy as np
from xxhash import xxh3_128

from medray.errors import FatalError
from medray.storage.shards.upload import Outbox
from medray.storage.shards.zarr3 import (
    EMPTY,
    FAST,
    MAX_CHUNK_ELEMENTS,
    ArrayMeta,
    Packing,
    compress,
    encode_index,
    name_of,
    raw_bytes,
)

SHARD_BYTES = 128 * 2**20  # raw bytes in a shard, about


class ArrayWriter:
    """Writes one array, slab by slab along `axis`.

    Args:
        outbox: where to.
        path: folder of the array, below the outbox's path.
        shape: of the whole array.
        dtype: of the whole array.
        axis: along which slabs arrive.
        chunk: inner chunk.
        axes: names of the axes.
        packing: how chunks are compressed.
        attributes: of the array.
    """

    def __init__(
        self,
        outbox: Outbox,
        path: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        axis: int,
        chunk: tuple[int, ...],
        axes: tuple[str, ...] = (),
        packing: Packing = FAST,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        if math.prod(chunk) > MAX_CHUNK_ELEMENTS:
            raise FatalError("a chunk is too large", code="chunk-too-large", about=path)
        full = [max(1, math.ceil(n / c)) * c for n, c in zip(shape, chunk, strict=True)]
        row = dtype.itemsize * chunk[axis] * math.prod(full) // full[axis]
        full[axis] = min(full[axis], chunk[axis] * max(1, SHARD_BYTES // row))
        name = name_of(dtype)
        self.meta = ArrayMeta(shape, name, chunk, tuple(full), axes, packing, attributes or {})
        self._outbox, self._path, self._axis = outbox, path, axis
        self._hash = xxh3_128(repr((shape, name, chunk, axis)).encode())
        self._pending: list[np.ndarray] = []
        self._held, self._row, self._left = 0, 0, shape[axis]
        self._buffer = np.empty(chunk, dtype)
        self._inner = self.meta.inner
        self._open_shard()

    def append(self, slab: np.ndarray) -> None:
        """Add the next slab; its shape is the array's except along the slab axis."""
        expected = [*self.meta.shape]
        expected[self._axis] = slab.shape[self._axis]
        self._left -= slab.shape[self._axis]
        fits = list(slab.shape) == expected and self._left >= 0
        if not fits or name_of(slab.dtype) != self.meta.dtype:
            raise FatalError(
                f"a slab of {slab.dtype}{slab.shape} does not fit "
                f"{self.meta.dtype}{self.meta.shape}",
                code="slab-mismatch",
                about=self._path,
            )
        depth = self.meta.chunk[self._axis]
        self._pending.append(slab)
        self._held += slab.shape[self._axis]
        if self._held < depth and self._left:
            self._pending[-1] = slab.copy()  # its owner may fill it anew
            return
        data = self._joined()
        whole = self._held - self._held % depth if self._left else self._held
        for start in range(0, whole, depth):
            self._write_row(self._part(data, start, min(start + depth, whole)))
        self._pending = [self._part(data, whole, self._held).copy()] if whole < self._held else []
        self._held -= whole

    def close(self) -> str:
        """Write the metadata; returns the content hash of the array.

        It is over the raw chunks, so neither cuts nor compressors show in it. XXH3 says whether two
        arrays are equal, at 0.02 ns a byte where BLAKE3 takes 0.19; that bytes are those that were
        written is for the BLAKE3 of each object.

        Raises:
            FatalError: fewer slabs came than the shape says (code "slab-mismatch").
        """
        if self._left:
            raise FatalError("slabs are missing", code="slab-mismatch", about=self._path)
        self._close_shard()
        self._outbox.put(f"{self._path}/zarr.json", json.dumps(self.meta.encode()).encode())
        return str(self._hash.hexdigest())

    def _joined(self) -> np.ndarray:
        if len(self._pending) == 1:
            return self._pending[0]
        return np.concatenate(self._pending, axis=self._axis)

    def _part(self, data: np.ndarray, start: int, stop: int) -> np.ndarray:
        return data[(slice(None),) * self._axis + (slice(start, stop),)]

    def _write_row(self, row: np.ndarray) -> None:
        chunk, inner = self.meta.chunk, self._inner
        if self._filled == 0:
            shard = tuple(self._row // n if a == self._axis else 0 for a, n in enumerate(inner))
            self._key = f"{self._path}/{self.meta.key(shard)}"
        if row.shape == chunk:  # of signals all rows but the last
            at = tuple(self._row % n if a == self._axis else 0 for a, n in enumerate(inner))
            self._write_chunk(at, np.ascontiguousarray(row))
        else:
            self._write_chunks(np.ascontiguousarray(row))
        self._row += 1
        self._filled += 1
        if self._row % inner[self._axis] == 0:
            self._close_shard()

    def _write_chunks(self, row: np.ndarray) -> None:
        """A row of several chunks, or of one that it does not fill."""
        chunk, inner, buffer = self.meta.chunk, self._inner, self._buffer
        text = row.dtype.kind == "T"
        # Whole lines of a chunk are copied as one value each: half the time of elements.
        if not text and row.shape[-1] % chunk[-1] == 0 < row.size:
            line = f"V{chunk[-1] * row.itemsize}"
            source, target, width = row.view(line), buffer.view(line), 1
        else:
            source, target, width = row, buffer, chunk[-1]
        step = (*chunk[:-1], width)
        # Few calls a chunk: by the next one Python's code has left the core's cache.
        spans = [
            [(self._row % n, slice(None))]  # along time a shard may have thousands of them
            if axis == self._axis
            else [(i, slice(i * c, (i + 1) * c)) for i in range(n)]
            for axis, (n, c) in enumerate(zip(inner, step, strict=True))
        ]
        filled, part = None, target
        for at in itertools.product(*spans):
            place, window = zip(*at, strict=True)
            piece = source[window]
            if piece.shape != filled:  # else what lies beyond it is empty already
                buffer[...] = "" if text else 0
                filled, part = piece.shape, target[tuple(slice(0, n) for n in piece.shape)]
            part[...] = piece
            self._write_chunk(place, buffer)

    def _write_chunk(self, place: tuple[int, ...], values: np.ndarray) -> None:
        self._hash.update(raw_bytes(values))
        if not values.item(0) and not _filled(values):
            return
        data, checksum = compress(values, self.meta.packing)
        # The chunk's own checksum is the sum that it is read back by.
        crc32c = int.from_bytes(checksum, "little")
        self._outbox.add(self._key, data, checksum, crc32c=crc32c)
        self._entries[place] = (self._size, len(data) + len(checksum))
        self._size += len(data) + len(checksum)

    def _open_shard(self) -> None:
        self._entries: dict[tuple[int, ...], tuple[int, int]] = {}  # offset and size, by chunk
        self._size = self._filled = 0

    def _close_shard(self) -> None:
        if self._filled:  # a shard of zeros is stored too: a missing object is damage, not zeros
            index = np.full((*self._inner, 2), EMPTY, np.uint64)
            for place in self._entries:
                index[place] = self._entries[place]
            self._outbox.add(self._key, encode_index(index))
            self._outbox.end(self._key)
        self._open_shard()


def _filled(chunk: np.ndarray) -> bool:
    """Whether a chunk holds more than the fill value."""
    if chunk.dtype.kind == "T":
        return bool((chunk != "").any())
    # By their bits: arithmetic warns of the NaNs by which VCF marks what is missing.
    return bool((chunk.view(f"u{chunk.itemsize}") if chunk.dtype.kind == "f" else chunk).any())
