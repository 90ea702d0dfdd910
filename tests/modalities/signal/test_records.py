"""Whole recordings through models of signals: intervals, sample by sample and window by window."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import DataError, SpecError
from medray.formats.signal.recording import Segment
from medray.modalities.base import Asking, Trained
from medray.modalities.signal import SignalPredictOptions, Signals
from medray.modalities.signal.plan import SignalPlan
from medray.modalities.signal.predictor import SignalPredictor
from medray.models import MODELS, model_options
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.stored import InMemory, whole
from medray.tasks import build_task
from tests.recordings import recording

RATE, GAIN = 50.0, 200.0
UNET = {"name": "unet1d", "features": [4, 6], "steps": [4], "kernel": 3, "dilations": [1]}
CNN = {"name": "cnn1d", "features": [4], "dropout": 0.0}
CLASSES = ("rest", "one", "two")


def trained(model: dict[str, Any], answers: str, **plan: Any) -> Trained:
    made = SignalPlan(
        **{
            "answers": answers,
            "classes": CLASSES,
            "batch_size": 2,
            "frequencies": (0.5, 0.25, 0.25),
            "samples": 1,
            "rate": RATE,
            "length": 40,
            "leads": ("a", "b"),
            "scale": "dataset",
            "mean": (0.1, -0.2),
            "std": (0.5, 2.0),
            **plan,
        }
    )
    torch.manual_seed(1)
    kind = MODELS.get(model["name"])
    network = kind.build(model_options(model), 2, 3, (40,)).eval().requires_grad_(False)
    for one in network.parameters():
        one.mul_(3)  # fresh weights say nearly the same of everything
    name = "tagging" if answers == "place" else "classification"
    task = build_task({"name": name, "classes": CLASSES})
    return Trained(Signals(), network, task, made, torch.device("cpu"), "net@3")


def asked(model: Trained, sample: Sample, **options: Any) -> Sample:
    predictor = SignalPredictor(model, Asking(SignalPredictOptions(**options), batch=3))
    (made,) = predictor.compute([predictor.prepare(InMemory(sample), 1)])
    for name, array in made.arrays.items():
        made.arrays[name] = whole(array)  # as a writer does, before it takes the row
    return made


def digital(length: int, leads: int = 2) -> np.ndarray:
    waves = np.random.default_rng(0).normal(0, 150, (leads, length)).cumsum(1) / 4
    return np.clip(waves, -2000, 2000).astype(np.int16)


def expected(model: Trained, values: np.ndarray) -> np.ndarray:
    """What the network says of digital values (leads, time) in one piece, (classes, time)."""
    given = torch.from_numpy(scaled(values))[None]
    with torch.inference_mode():
        answer: np.ndarray = model.network(given).softmax(1)[0].numpy()
    return answer


def scaled(values: np.ndarray) -> np.ndarray:
    mean, std = np.array([[0.1], [-0.2]]), np.array([[0.5], [2.0]])
    made: np.ndarray = np.clip((values / GAIN - mean) / std, -20, 20).astype(np.float32)
    return made


def runs(labels: np.ndarray) -> list[tuple[float, float, str]]:
    starts = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist()]
    ends = [*starts[1:], len(labels)]
    return [
        (round(at / RATE, 6), round((end - at) / RATE, 6), CLASSES[labels[at]])
        for at, end in zip(starts, ends, strict=True)
        if labels[at]
    ]


def told(made: Sample) -> list[tuple[float, float, str]]:
    return [
        (round(one["onset_s"], 6), round(one["duration_s"], 6), one["text"])
        for one in made.row["annotations"]
    ]


def test_a_recording_is_answered_sample_by_sample() -> None:
    model, values = trained(UNET, "place"), digital(500)
    made = asked(model, recording("r", {RATE: values}), probabilities=True)
    wanted = expected(model, values)
    np.testing.assert_allclose(made.arrays["probability"], wanted, atol=1e-4)
    labels = wanted.argmax(0)
    assert len(set(labels.tolist())) > 1
    assert told(made) == runs(labels)
    first = made.row["annotations"][0]
    assert (first["annotator"], first["symbol"]) == ("net", "")
    assert first["sample"] == round(first["onset_s"] * RATE)
    sure = made.row["interval_probability"]
    inside = slice(first["sample"], first["sample"] + round(first["duration_s"] * RATE))
    kind = CLASSES.index(first["text"])
    assert sure[0] == pytest.approx(wanted[kind, inside].mean(), abs=1e-4)
    assert len(sure) == len(made.row["annotations"])


def test_without_probabilities_there_are_intervals_alone() -> None:
    model, sample = trained(UNET, "place"), recording("r", {RATE: digital(500)})
    made = asked(model, sample, annotator="me", min_s=0.06)
    assert made.arrays == {}
    every = runs(expected(model, digital(500)).argmax(0))
    assert told(made) == [one for one in every if one[1] >= 0.06]
    assert len(told(made)) < len(every)
    assert {one["annotator"] for one in made.row["annotations"]} == {"me"}
    assert made.row["channels"] == sample.row["channels"]


def test_stretches_between_gaps_stand_alone() -> None:
    model, values = trained(UNET, "place"), digital(500)
    gaps = [Segment(0.0, 4.0), Segment(10.0, 6.0)]
    made = asked(model, recording("r", {RATE: values}, segments=gaps))
    parts = [runs(expected(model, part).argmax(0)) for part in (values[:, :200], values[:, 200:])]
    later = [(round(onset + 10, 6), duration, kind) for onset, duration, kind in parts[1]]
    assert told(made) == [*parts[0], *later]


def test_what_is_missing_is_at_the_mean() -> None:
    model, values = trained(UNET, "place"), digital(300)
    holed = values.copy()
    holed[0, 100:120] = -32768
    made = asked(model, recording("r", {RATE: holed}, missing=-32768), probabilities=True)
    filled = values.astype(np.float64)
    filled[0, 100:120] = 0.1 * GAIN
    wanted = expected(model, filled)
    np.testing.assert_allclose(made.arrays["probability"], wanted, atol=1e-4)


def test_another_rate_and_order_of_leads_is_brought_to_the_models() -> None:
    model, values = trained(UNET, "place"), digital(1000)
    sample = recording("r", {2 * RATE: values}, leads=["b", "a"])
    made = asked(model, sample, probabilities=True)
    assert made.arrays["probability"].shape == (3, 500)
    assert made.row["rate"] == RATE
    for one in made.row["annotations"]:
        assert one["sample"] == round(one["onset_s"] * 2 * RATE)  # of the recording
    with pytest.raises(DataError) as refused:
        asked(model, recording("r", {RATE: values}, leads=["b", "c"]))
    assert refused.value.code == "no-such-lead"


def test_a_model_of_windows_slides() -> None:
    model, values = trained(CNN, "sample"), digital(430)
    starts = range(0, 391, 20)
    windows = np.stack([scaled(values[:, at : at + 40]) for at in starts])
    logits = model.network({"signal": torch.from_numpy(windows)})
    head = dict(model.network.named_parameters())["head.last.bias"]
    head.sub_(logits.median(0).values)  # so that each class is now and then the most probable
    labels = model.network({"signal": torch.from_numpy(windows)}).argmax(1).tolist()
    assert len(set(labels)) > 1
    ends = [*(at + 10 for at in starts[1:]), 430]  # an answer holds for what is nearest to it
    along = np.repeat(labels, np.diff([0, *ends]))
    cut = [0, *(np.flatnonzero(np.diff(along)) + 1).tolist(), 430]
    wanted = [
        (round(at / RATE, 6), round((end - at) / RATE, 6), CLASSES[along[at]])
        for at, end in pairwise(cut)
    ]
    made = asked(model, recording("r", {RATE: values}), step_s=0.4, background="")
    assert told(made) == wanted


def test_a_stretch_shorter_than_a_window_is_not_answered() -> None:
    made = asked(trained(CNN, "sample"), recording("r", {RATE: digital(39)}), background="")
    assert made.row["annotations"] == []


def test_what_does_not_go_along_a_record_is_refused() -> None:
    with pytest.raises(DataError) as refused:
        asked(trained(CNN, "sample", context=True), recording("r", {RATE: digital(90)}))
    assert refused.value.code == "model-mismatch"
    given = Asking(SignalPredictOptions(background="three"))
    with pytest.raises(SpecError) as unknown:
        Signals().predictor(trained(UNET, "place"), given)
    assert unknown.value.code == "unknown-class"


def test_windows_get_probabilities_by_sample() -> None:
    model, values = trained(UNET, "place"), digital(40)
    row = {"rate": RATE, "leads": ["a", "b"], "gain": [GAIN, GAIN], "baseline": [0.0, 0.0]}
    made = asked(model, Sample("w", row, {"signal": values}))
    np.testing.assert_allclose(made.arrays["probability"], expected(model, values), atol=1e-5)
    assert not isinstance(made.arrays["probability"], Slabs)


def test_what_is_missing_of_a_window_is_at_the_mean_and_nothing_is_no_window() -> None:
    model, values = trained(UNET, "place"), digital(40)
    values[0, 10:20] = -32768
    row = {"rate": RATE, "leads": ["a", "b"], "gain": [GAIN, GAIN], "baseline": [0.0, 0.0]}
    row["missing"] = [-32768, None]
    made = asked(model, Sample("w", row, {"signal": values}))
    filled = values.astype(np.float64)
    filled[0, 10:20] = 0.1 * GAIN
    np.testing.assert_allclose(made.arrays["probability"], expected(model, filled), atol=1e-4)
    row["missing"] = [-32768, -32768]
    with pytest.raises(DataError, match="no-signals"):
        asked(model, Sample("w", row, {"signal": np.full((2, 40), -32768, np.int16)}))


def surprised(threshold: float | None) -> Trained:
    model = trained(CNN, "sample")
    kind = MODELS.get("signal-autoencoder")
    torch.manual_seed(1)
    options = model_options({"name": "signal-autoencoder"})
    network = kind.build(options, 2, 2, (40,)).eval().requires_grad_(False)
    told = {"name": "anomaly", "normal": ["rest"], "threshold": threshold}
    plan = model.plan.model_copy(update={"answers": "surprise", "classes": ("normal", "anomaly")})
    return replace(model, network=network, task=build_task(told), plan=plan)


def test_a_model_of_surprises_calls_what_is_above_its_threshold() -> None:
    values = digital(400)
    windows = np.stack([scaled(values[:, at : at + 40]) for at in range(0, 361, 20)])
    network = surprised(None).network
    given = network({"signal": torch.from_numpy(windows)}).mean(1).numpy()
    limit = float(np.median(given))
    made = asked(surprised(limit), recording("r", {RATE: values}))
    ends = [*(20 * at + 10 for at in range(1, 19)), 400]
    labels = np.repeat(given > limit, np.diff([0, *ends]))
    starts, stops = (np.flatnonzero(np.diff(labels, prepend=0, append=0) == way) for way in (1, -1))
    calls = [
        (round(one / RATE, 6), round((end - one) / RATE, 6), "anomaly")
        for one, end in zip(starts, stops, strict=True)
    ]
    assert told(made) == calls
    assert min(made.row["interval_surprise"]) > limit
    assert "interval_probability" not in made.row
    with pytest.raises(DataError) as refused:
        asked(surprised(None), recording("r", {RATE: values}))
    assert refused.value.code == "calls-no-class"
