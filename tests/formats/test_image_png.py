"""PNG files that hold fewer rows than their header names, of every kind of pixel."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.image.raster import read_raster

PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2)]  # fmt: skip
GREY, PALETTE = 0, 3


def png(values: np.ndarray, colour: int, *, interlaced: bool, left_out: int) -> bytes:
    """A sound file but for the last `left_out` bytes of its pixels."""
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    parts = [values[top::down, left::across] for left, top, across, down in passes]
    rows = [b"\0" + row.tobytes() for part in parts if part.size for row in part]
    raw = b"".join(rows)
    height, width = values.shape
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, int(interlaced))
    chunks = [(b"IHDR", head)]
    if colour == PALETTE:
        chunks.append((b"PLTE", bytes(range(1, 256)) + bytes(513)))
    packed = zlib.compress(raw[: len(raw) - left_out])
    chunks += [(b"IDAT", packed[:20]), (b"IDAT", packed[20:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize("colour", [GREY, PALETTE])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("shape", [(12, 9), (7, 16), (1, 3)])
def test_a_png_without_all_its_rows_is_damaged(
    colour: int, interlaced: bool, shape: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    drawn = np.random.default_rng(0).integers(1, 250, shape, dtype=np.uint8)
    for values in (drawn, np.zeros_like(drawn)):
        path.write_bytes(png(values, colour, interlaced=interlaced, left_out=0))
        read, _ = read_raster(path, 10**6, volume=False, indices=True)
        assert np.array_equal(read[0], values)
        row = shape[1] + 1  # of the last pass, whole
        path.write_bytes(png(values, colour, interlaced=interlaced, left_out=row))
        with pytest.raises(DataError) as caught:
            read_raster(path, 10**6, volume=False, indices=True)
        assert caught.value.code == "damaged-image"
