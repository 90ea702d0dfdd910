"""Records for `format_examples`."""

from pathlib import Path
from typing import Any

import numpy as np

from medray.formats.signal.recording import Annotation, Channel, placed, row_of
from medray.storage.shards.samples import Sample


def wfdb(root: Path) -> dict[str, Any]:
    """A record of two signals in format 212, and one of two rates in files of their own."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(-900, 900, (300, 2))
    first, second = (pairs & 0xFFF).T.astype(np.uint16)
    packed = np.stack([first & 255, (first >> 8) | ((second >> 8) << 4), second & 255], axis=1)
    (root / "a.dat").write_bytes(packed.astype(np.uint8).tobytes())
    (root / "a.hea").write_text(
        "# CANARY NAME\na 2 360 300 10:00:00.5 02/01/2020\n"
        + "".join(
            f"a.dat 212 200(10)/mV 12 0 {one[0]} {one.sum() % 2**16} 0 {name}\n"
            for one, name in zip(pairs.T, ("MLII", "V5"), strict=True)
        )
    )
    (root / "a.atr").write_bytes(bytes.fromhex("0a7002fc284e5b04951401f80000"))
    whole = rng.integers(-(2**15) + 1, 2**15, 150).astype("<i2")
    (root / "b.d0").write_bytes(whole.tobytes())
    (root / "b.d1").write_bytes((rng.integers(-99, 99, 50) + 128).astype(np.uint8).tobytes())
    sums = f"{whole[0]} {whole.astype(int).sum() % 2**16}"
    (root / "b.hea").write_text(f"b 2 100 50\nb.d0 16x3 0 0 0 {sums}\nb.d1 80\n")
    return {"deidentify": {"method": "none"}}


def recorded(sample_id: str = "case") -> Sample:
    """A recording of one channel with a beat."""
    note = Annotation("atr", 0.1, sample=10, symbol="N")
    (channel,) = placed([Channel("MLII", "mV", 100.0, 200.0, 0.0, missing=-(2**11))])
    row = row_of([channel], record="r", subject="r", duration_s=0.5, annotations=[note])
    return Sample(sample_id, row, {channel.array: np.arange(50, dtype=np.int16)[None]})
