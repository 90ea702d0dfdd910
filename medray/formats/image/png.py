"""PNG: whether a file holds all the rows that its header names; Pillow leaves 0 where it does not.

Checksums don't show it: a writer that stops early ends its stream of zlib as others do.
"""

import struct
import zlib
from pathlib import Path

from medray.errors import DataError

READ_BYTES = 2**20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Of Adam7: first column and row of each pass, and their steps.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip


def require_rows(path: Path) -> None:
    """Hold the pixels of a PNG that Pillow has read against its header.

    Raises:
        DataError: there are fewer (code "damaged-image").
    """
    inflate, held, wanted = zlib.decompressobj(), 0, 0
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[:4], "big")
            if head[4:] == b"IHDR":
                wanted = _bytes(file.read(size))
                size = 0
            while size and head[4:] == b"IDAT":
                data = file.read(min(size, READ_BYTES))
                size -= len(data) or size
                while data:
                    held += len(inflate.decompress(data, READ_BYTES))
                    data = inflate.unconsumed_tail
            file.seek(size + 4, 1)
    held += len(inflate.flush())
    if held < wanted:
        raise DataError(
            f"the file holds {held} of {wanted} bytes of pixels: rows are missing",
            code="damaged-image",
        )


def _bytes(header: bytes) -> int:
    """Of the pixels, unpacked, with the byte that says how a row is filtered."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * depth * _CHANNELS[colour] + 7) // 8)
    return total
