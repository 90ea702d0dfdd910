#!/usr/bin/env bash
# Tool: Pillow
# Version: 13.0.0
# Behaviour: compressed big-endian TIFFs of int16, int32 or float32 come with their bytes in the wrong order
# Seen: 256, 512, 768 of stored int16 1, 2, 3, and no warning
# libtiff gives decoded values in the machine's order, and Pillow swaps them once more. Uncompressed files, and uint8 and
# uint16 of any coding, are right.
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3 imagecodecs==2026.3.6
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import tifffile
from PIL import Image

assert sys.byteorder == "little"
values = np.array([[1, 2, 3]], np.int16)
for coding, wanted in ((None, [[1, 2, 3]]), ("lzw", [[256, 512, 768]])):
    tifffile.imwrite("a.tif", values, byteorder=">", photometric="minisblack", compression=coding)
    with Image.open("a.tif") as image:
        seen = np.asarray(image).tolist()
    print(coding, "stored:", values.tolist(), "seen:", seen)
    assert seen == wanted, "Pillow reads it otherwise now"
for dtype in ("int32", "float32"):
    tifffile.imwrite("a.tif", values.astype(dtype), byteorder=">", compression="lzw")
    with Image.open("a.tif") as image:
        assert not np.array_equal(np.asarray(image), values), "Pillow reads it otherwise now"
PYTHON
