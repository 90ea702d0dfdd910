"""Recordings for tests: made up, and the real ones as a WFDB library of its own reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medray.formats.signal.recording import Annotation, Channel, Segment, placed, row_of
from medray.storage.shards.samples import Sample

MITBIH = ("100", "106", "119", "200", "203", "208")


def recording(
    name: str,
    signals: dict[float, np.ndarray],
    *,
    gain: float = 200.0,
    baseline: float = 0.0,
    missing: int | None = None,
    leads: Sequence[str] = (),
    annotations: Sequence[Annotation] = (),
    segments: Sequence[Segment] = (),
    **row: Any,
) -> Sample:
    """A recording of arrays (channel, time) by their rates; leads are a, b, … in that order."""
    rates = [rate for rate, values in signals.items() for _ in values]
    names = leads or [chr(ord("a") + number) for number in range(len(rates))]
    channels = placed(
        Channel(lead, "mV", rate, gain, baseline, missing=missing)
        for lead, rate in zip(names, rates, strict=True)
    )
    rate, values = next(iter(signals.items()))
    last = segments[-1] if segments else Segment(0.0, values.shape[1] / rate)
    columns = row_of(
        channels,
        record=name,
        subject=row.pop("subject", name),
        duration_s=last.onset_s + last.duration_s,
        annotations=annotations,
        segments=segments,
    )
    arrays = {channel.array: signals[channel.rate] for channel in channels}
    return Sample(name, {**columns, **row}, dict(arrays))


def beat(sample: int, rate: float, symbol: str = "N", annotator: str = "atr") -> Annotation:
    """An annotation at a sample."""
    return Annotation(annotator, sample / rate, sample=sample, symbol=symbol)


def mitbih(data_dir: Path, name: str) -> Sample:
    """A record of the MIT-BIH database with its annotations."""
    import wfdb

    path = str(data_dir / "biosignal" / "mitbih" / name)
    record = wfdb.rdrecord(path, physical=False, return_res=16)
    found = wfdb.rdann(path, "atr")
    annotations = [
        Annotation("atr", at / record.fs, text=text.rstrip("\0"), sample=at, symbol=symbol)
        for at, symbol, text in zip(
            found.sample.tolist(), found.symbol, found.aux_note, strict=True
        )
    ]
    return recording(
        name,
        {float(record.fs): np.ascontiguousarray(record.d_signal.T)},
        gain=record.adc_gain[0],
        baseline=record.baseline[0],
        leads=record.sig_name,
        annotations=annotations,
    )
