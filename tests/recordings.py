"""Recordings for tests: made up, and the real ones as a WFDB library of its own reads them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medray.formats.signal.recording import Annotation, Channel, Segment, placed, row_of
from medray.ids import short
from medray.modalities.signal import Signals
from medray.modalities.signal.plan import SignalPlan
from medray.storage.catalog.models import save_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

RATE, SECONDS = 100, 240  # of records that are written
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


def noise(number: int) -> np.ndarray:
    """Of two sorts, which take turns: (time,), in mV."""
    rng = np.random.default_rng(number)
    loud = np.repeat(rng.uniform(0.1, 1.5, SECONDS // 4), 4 * RATE)
    values: np.ndarray = rng.normal(0, 1, len(loud)) * loud
    return values


def write_records(folder: Path, numbers: Iterable[int], rate: float = RATE) -> None:
    """WFDB records r00, r01, … of noise, at 200 steps a millivolt."""
    import wfdb

    folder.mkdir(exist_ok=True)
    for number in numbers:
        wfdb.wrsamp(
            f"r{number:02d}", fs=rate, units=["mV"], sig_name=["II"],
            p_signal=noise(number)[:, None], fmt=["16"], adc_gain=[200], baseline=[0],
            write_dir=str(folder),
        )  # fmt: skip


def save_tagger(objects: Objects, name: str, folds: int = 0) -> None:
    """A network that nothing has trained, which says now this and now that of each sample, or one
    for each of so many folds."""
    import torch
    from safetensors.torch import save

    model = {"name": "unet1d", "features": [4, 6], "steps": [4], "kernel": 3, "dilations": [1]}
    task = {"name": "tagging", "classes": ["N", "AFIB", "noise"]}
    plan = SignalPlan(
        answers="place", classes=("N", "AFIB", "noise"), batch_size=2, samples=1,
        frequencies=(0.5, 0.25, 0.25), rate=float(RATE), length=400, leads=("II",),
        scale="dataset", mean=(0.0,), std=(1.0,),
    )  # fmt: skip
    torch.manual_seed(1)
    weights = {
        f"{at}." * bool(folds) + key: 3 * one
        for at in range(max(1, folds))
        for key, one in Signals().build(model, plan).state_dict().items()
    }
    document = plan.model_dump(mode="json")
    members = [{"value": at, "plan": document} for at in range(folds)]
    told = {"folds": {"column": "fold", "members": members}} if folds else {"plan": document}
    config = {"model": model, "task": task, **told}
    save_model(
        objects, name, weights=save(weights), config=config, metrics={}, parents=["windows@1"],
        spec=short(name), card="",
    )  # fmt: skip
