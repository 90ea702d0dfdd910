#!/usr/bin/env bash
# Tool: wfdb
# Version: 4.3.1
# Behaviour: rdrecord returns a record whose samples do not add up to the checksum of its header, without a word
# Seen: one bit of sample 1000 is flipped; the header's sum is 32310, calc_checksum() of what was read 15926
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install wfdb==4.3.1 numpy==2.4.6
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
import wfdb

wave = (1000 * np.sin(np.arange(3600) / 20)).astype(int)[:, None]
named = {"fs": 360, "units": ["mV"], "sig_name": ["II"], "fmt": ["16"]}
wfdb.wrsamp("r", d_signal=wave, adc_gain=[200.0], baseline=[0], **named)
data = bytearray(Path("r.dat").read_bytes())
data[2001] ^= 0x40  # as a disk or a line may do
Path("r.dat").write_bytes(data)
read = wfdb.rdrecord("r", physical=False)
other = np.flatnonzero(read.d_signal[:, 0] != wave[:, 0])
print("read without an error; other samples:", other, "sums:", read.checksum, read.calc_checksum())
assert list(other) == [1000]
assert read.checksum != read.calc_checksum(), "the sums agree now"
PYTHON
