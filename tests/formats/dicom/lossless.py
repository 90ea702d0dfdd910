"""A small encoder of lossless JPEG (ISO 10918-1, annex H), to hold decoders against."""

import struct

import numpy as np

_PREDICT = {
    1: lambda a, b, c: a,
    2: lambda a, b, c: b,
    3: lambda a, b, c: c,
    4: lambda a, b, c: a + b - c,
    5: lambda a, b, c: a + ((b - c) >> 1),
    6: lambda a, b, c: b + ((a - c) >> 1),
    7: lambda a, b, c: (a + b) >> 1,
}


def encode(image, precision, predictor=1, point=0, restart_rows=0):
    """(rows, columns) or (rows, columns, 3) as one scan, its components interleaved.

    Args:
        image: unsigned values.
        precision: bits of each.
        predictor: 1 to 7.
        point: bits that are dropped.
        restart_rows: rows between restart markers, 0 for none.
    """
    image = np.asarray(image).reshape(*np.shape(image)[:2], -1).astype(np.int64) >> point
    rows, columns, samples = image.shape
    ids = range(1, samples + 1)
    out = bytearray(b"\xff\xd8\xff\xc3")
    out += struct.pack(">HBHHB", 8 + 3 * samples, precision, rows, columns, samples)
    out += b"".join(bytes([number, 0x11, 0]) for number in ids)
    # Categories 0 to 16 have the codes 0 to 16, of five bits each.
    out += b"\xff\xc4" + struct.pack(">HB", 36, 0) + bytes([0, 0, 0, 0, 17] + [0] * 11)
    out += bytes(range(17))
    if restart_rows:
        out += b"\xff\xdd" + struct.pack(">HH", 4, restart_rows * columns)
    out += b"\xff\xda" + struct.pack(">HB", 6 + 2 * samples, samples)
    out += b"".join(bytes([number, 0]) for number in ids) + bytes([predictor, 0, point])
    step = restart_rows or rows
    for number, start in enumerate(range(0, rows, step)):
        if start:
            out += bytes([0xFF, 0xD0 + (number - 1) % 8])
        bits = "".join(_coded(image[start : start + step], precision - point, predictor))
        bits += "1" * (-len(bits) % 8)
        packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
        out += packed.replace(b"\xff", b"\xff\x00")
    return bytes(out + b"\xff\xd9")


def _coded(part, precision, predictor):
    for row, column, sample in np.ndindex(part.shape):
        if row == 0 and column == 0:
            predicted = 1 << (precision - 1)
        elif row == 0:
            predicted = part[row, column - 1, sample]
        elif column == 0:
            predicted = part[row - 1, column, sample]
        else:
            predicted = _PREDICT[predictor](
                part[row, column - 1, sample],
                part[row - 1, column, sample],
                part[row - 1, column - 1, sample],
            )
        difference = int(part[row, column, sample] - predicted + 2**15 - 1) % 2**16 - 2**15 + 1
        size = 16 if difference == 2**15 else abs(difference).bit_length()
        yield f"{size:05b}"
        if 0 < size < 16:
            value = difference if difference > 0 else difference + (1 << size) - 1
            yield f"{value:0{size}b}"
