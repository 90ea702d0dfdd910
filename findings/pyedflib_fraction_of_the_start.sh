#!/usr/bin/env bash
# Tool: pyedflib
# Version: 0.1.42
# Behaviour: the start of an EDF+ file that begins at a fraction of a second is told wrong
# Seen: of a file that begins 0.3945312 s after 04:05:56, getStartdatetime() says 04:05:56.039453
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install pyedflib==0.1.42 numpy==2.4.6
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
import numpy as np
import pyedflib

# EDF+ (Kemp and Olivan 2003, 2.2.4): the first annotation says when the first data record begins.
told = b"+0.3945312\x14\x14\x00".ljust(40, b"\x00")
values = np.arange(100, dtype="<i2").tobytes()
main = (
    "0".ljust(8) + "X X X X".ljust(80) + "Startdate 24-JAN-2020 X X X".ljust(80) + "24.01.20"
    + "04.05.56" + "768".ljust(8) + "EDF+C".ljust(44) + "1".ljust(8) + "1".ljust(8) + "2".ljust(4)
)
fields = (
    (16, ("Fp1", "EDF Annotations")), (80, ("", "")), (8, ("uV", "")), (8, ("-100", "-1")),
    (8, ("100", "1")), (8, ("-32768", "-32768")), (8, ("32767", "32767")), (80, ("", "")),
    (8, ("100", "20")), (32, ("", "")),
)
head = main + "".join(cell.ljust(width) for width, cells in fields for cell in cells)
with open("a.edf", "wb") as file:
    file.write(head.encode("ascii") + values + told)

reader = pyedflib.EdfReader("a.edf")
start = reader.getStartdatetime()
print("begins at 04:05:56.394531; pyedflib says", start.time())
assert start.microsecond == 39453, "the start is told otherwise now"
PYTHON
