#!/usr/bin/env bash
# Tool: Pillow
# Version: 13.0.0
# Behaviour: a TIFF that is not square and has Orientation 5 to 8 is read with its pixels in wrong rows
# Seen: [[4, 2, 0], [5, 3, 1]] where [[3, 0], [4, 1], [5, 2]] is right, and no warning
# Width and height are exchanged when the file is opened, its rows are decoded with the exchanged width, and the result
# is turned.
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image

values = np.arange(6, dtype=np.uint8).reshape(2, 3)
tifffile.imwrite("turned.tif", values, extratags=[(274, "H", 1, 6, True)])
with Image.open("turned.tif") as image:
    image.load()
    seen = np.asarray(image).tolist()
print("right:", np.rot90(values, -1).tolist())
print("seen: ", seen)
assert seen == [[4, 2, 0], [5, 3, 1]], "Pillow reads it otherwise now"
PYTHON
