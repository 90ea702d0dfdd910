#!/usr/bin/env bash
# Tool: imagecodecs
# Version: 2026.3.6
# Behaviour: of its three decoders of lossless JPEG (DICOM .57, .70) two give wrong values without an error: ljpeg_decode where there are restart intervals, jpegsof3_decode where there is a point transform; jpeg8_decode is right
# Seen: ljpeg_decode: zeros after the first restart marker; jpegsof3_decode: 16383 for 65532
set -eu
home="$(mktemp -d)"
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install -q "imagecodecs==2026.3.6" "numpy<2.5"
"$home/venv/bin/python" - <<'PYTHON'
import struct

import imagecodecs
import numpy as np

VALUES = np.array([[0, 65535, 17, 4], [9, 800, 5, 60000], [1, 2, 3, 4]], np.uint16)


def encode(values, point=0, restart=False):
    """One component of 16 bits, predictor 1 (the left neighbour)."""
    rows, columns = values.shape
    out = b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB", 11, 16, rows, columns, 1) + b"\x01\x11\x00"
    # Categories 0 to 16 have the codes 0 to 16 of five bits each.
    out += b"\xff\xc4" + struct.pack(">HB", 36, 0) + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))
    if restart:
        out += b"\xff\xdd" + struct.pack(">HH", 4, columns)  # after each row
    out += b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\x01\x00" + bytes([1, 0, point])
    first, bits = 1 << (15 - point), ""
    for number, row in enumerate(values.astype(int) >> point):
        if restart and number:
            out, bits = out + stuffed(bits) + bytes([0xD0 - 1 + number]).rjust(2, b"\xff"), ""
            before = 1 << (15 - point)
        else:
            before = first
        first = int(row[0])
        for value in map(int, row):
            step, before = (value - before + 32767) % 65536 - 32767, value
            size = 16 if step == 32768 else abs(step).bit_length()
            bits += f"{size:05b}"
            if 0 < size < 16:
                bits += f"{step if step > 0 else step + (1 << size) - 1:0{size}b}"
    return out + stuffed(bits) + b"\xff\xd9"


def stuffed(bits):
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")


restarted, shifted = encode(VALUES, restart=True), encode(VALUES, point=2)
expected = VALUES >> 2 << 2
print("jpeg8_decode, restarts:", imagecodecs.jpeg8_decode(restarted).tolist())
print("ljpeg_decode, restarts:", imagecodecs.ljpeg_decode(restarted).tolist())
print("jpegsof3_decode, point transform:", imagecodecs.jpegsof3_decode(shifted).tolist())
for decode in (imagecodecs.jpeg8_decode, imagecodecs.ljpeg_decode, imagecodecs.jpegsof3_decode):
    assert (decode(encode(VALUES)) == VALUES).all()  # they agree without either
assert (imagecodecs.jpeg8_decode(restarted) == VALUES).all()
assert (imagecodecs.jpeg8_decode(shifted) == expected).all()
assert (imagecodecs.ljpeg_decode(restarted) != VALUES).any()
assert (imagecodecs.jpegsof3_decode(shifted) == VALUES >> 2).all()
PYTHON
