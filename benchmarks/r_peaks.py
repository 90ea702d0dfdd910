"""R peaks of MIT-BIH's records against their annotations, by 100 ms: sensitivity and precision.

    MEDRAY_DATA=... python benchmarks/r_peaks.py [record ...]

Reads records by the library wfdb. What it prints stands in docs/signals.md.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
import wfdb

from medray.formats.signal.aami import aami
from medray.formats.signal.r_peaks import matched, r_peaks

RECORDS = ("100", "106", "119", "200", "203", "208")
TOLERANCE_S = 0.1


def main(names: list[str]) -> None:
    """One line a record, and one of all."""
    folder = Path(os.environ["MEDRAY_DATA"]) / "biosignal" / "mitbih"
    print("record  beats  found  sensitivity  precision  CPU s")
    sums = np.zeros(4)
    for name in names or RECORDS:
        record = wfdb.rdrecord(str(folder / name), physical=False)
        notes = wfdb.rdann(str(folder / name), "atr")
        pairs = zip(notes.sample.tolist(), notes.symbol, strict=True)
        truth = np.array([at for at, symbol in pairs if aami(symbol)])
        values = record.d_signal.T.astype(float)

        def read(start: int, stop: int, values: np.ndarray = values) -> np.ndarray:
            return values[:, start:stop]

        began = time.process_time()
        found = r_peaks(read, values.shape[1], float(record.fs))
        spent = time.process_time() - began
        both = matched(truth, found, round(TOLERANCE_S * record.fs))
        row = np.array([len(truth), len(found), both, spent])
        show(name, row)
        sums += row
    show("all", sums)


def show(name: str, row: np.ndarray) -> None:
    """A line of the table."""
    truth, found, both, spent = row.tolist()
    print(
        f"{name:6}  {truth:5.0f}  {found:5.0f}  {both / truth:11.4f}  {both / found:9.4f}"
        f"  {spent:5.1f}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
