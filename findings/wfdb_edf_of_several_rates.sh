#!/usr/bin/env bash
# Tool: wfdb
# Version: 4.3.1
# Behaviour: read_edf of an EDF file whose channels have several rates gives the faster one values that it never had
# Seen: a sine of 100 uV at 100 Hz beside a channel of 1 Hz: edfio reads at most 100 uV, read_edf up to 692 uV
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install wfdb==4.3.1 edfio==0.4.18 numpy==2.4.6
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
import edfio
import numpy as np
from wfdb.io.convert.edf import read_edf

wave = 100 * np.sin(np.arange(1000) / 7)
warmth = 36.5 + np.arange(10) / 4
edfio.Edf(
    [
        edfio.EdfSignal(wave, 100, label="EEG", physical_range=(-500, 500)),
        edfio.EdfSignal(warmth, 1, label="Temp", physical_range=(34, 40)),
    ]
).write("two.edf")
right = np.abs(edfio.read_edf("two.edf").signals[0].data).max()
told = np.abs(read_edf("two.edf").p_signal[:, 0]).max()
print(f"the largest value is 100; edfio reads {right:.1f}, read_edf {told:.1f}")
assert right < 100.1, "edfio reads it otherwise now"
assert told > 600, "read_edf reads it otherwise now"
PYTHON
