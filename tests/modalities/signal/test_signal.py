"""Signals from stored samples to a model that answers: plan, batches, folds, predictions."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medray.data.order import Order
from medray.engine.training.loop import fit, outcome
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.errors import DataError, SpecError
from medray.jobs.run import run
from medray.modalities.plan import Wanted
from medray.modalities.signal import Signals
from medray.modalities.signal.augment import SignalAugment
from medray.modalities.signal.cases import SignalCases
from medray.modalities.signal.inputs import scaled
from medray.modalities.signal.loader import SignalLoader
from medray.modalities.signal.plan import SignalPlan, SignalPlanOptions
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.engine.training.several import launch

TASK = {"name": "classification", "classes": ["N", "V"], "target": "label", "class_weights": "none"}
MODEL = {"name": "cnn1d", "features": [8, 8], "dropout": 0.0}
COLUMNS = ["rr_prev_s / rr_median_s", "rr_prev_s"]
AUGMENT = SignalAugment(
    amplitude=0.2, noise=0.1, wander=0.2, warp=0.1, shift_s=0.02, lead_drop=0.2, columns=0.1
)

Make = Callable[[str, list[Sample]], Dataset]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def beat(number: int, wide: bool, chance: np.random.Generator) -> Sample:
    """Two leads of 40 samples, digital: a bump on a level of its record's own, wide or narrow."""
    record, time = number % 6, np.arange(40) - 20
    bump = np.exp(-((time / (8 if wide else 3)) ** 2)) * (100 + 40 * record)
    signal = np.stack([bump, -0.5 * bump]) + 20 * record + chance.normal(0, 5, (2, 40))
    median = np.exp(-((time / 3) ** 2)) * (100 + 40 * record)
    row = {
        "record": str(record),
        "subject": str(record),
        "rate": 125.0,
        "leads": ["I", "II"],
        "gain": [200.0, 100.0],
        "baseline": [0.0, 10.0],
        "label": "V" if wide else "N",
        "rr_prev_s": 0.5 if wide else 0.8,
        "rr_median_s": 0.8 if number else None,
        "fold": record % 3,
    }
    context = np.stack([median / 200, (-0.5 * median - 10) / 100]).astype(np.float32)
    return Sample(f"s{number:03d}", row, {"signal": signal.astype(np.int16), "context": context})


@pytest.fixture
def beats(make_dataset: Make) -> Dataset:
    chance = np.random.default_rng(0)
    return make_dataset("beats", [beat(number, number % 4 == 1, chance) for number in range(120)])


def planned(dataset: Dataset, **given: Any) -> SignalPlan:
    options = SignalPlanOptions.model_validate({"columns": COLUMNS, **given})
    wanted = Wanted(MODEL, TrainSettings(), options)
    return Signals().plan(dataset, range(len(dataset)), build_task(TASK), wanted)


def test_the_plan_says_what_the_samples_are_like(beats: Dataset) -> None:
    plan = planned(beats)
    assert (plan.rate, plan.length, plan.leads) == (125.0, 40, ("I", "II"))
    assert (plan.context, plan.scale) == (True, "record")
    assert plan.frequencies == (0.75, 0.25)
    assert plan.column_mean[1] == pytest.approx(0.725)
    assert SignalPlan.model_validate_json(plan.model_dump_json()) == plan
    (with_context, without) = (
        next(Signals().build(MODEL, one).parameters()).shape[1]
        for one in (plan, planned(beats, context=False))
    )
    assert (with_context, without) == (4, 2)
    with pytest.raises(SpecError) as refused:
        planned(beats, columns=["label"])
    assert refused.value.code == "bad-column"
    with pytest.raises(SpecError) as refused:
        planned(beats, columns=["rr"])
    assert refused.value.code == "no-such-column"


def test_a_column_that_is_missing_is_at_its_mean(beats: Dataset) -> None:
    cases = SignalCases(beats, range(120), planned(beats), 2**20)
    assert cases.columns[0, 0] == 0  # its record's median is not known
    assert cases.columns[4, 0] > 0 > cases.columns[1, 0]


@pytest.mark.parametrize("scale", ["record", "window", "dataset", "none"])
def test_what_is_missing_is_at_the_mean_and_has_no_say_in_it(
    scale: str, beats: Dataset, make_dataset: Make
) -> None:
    """As if the beat had not been recorded there: all else is scaled as without it."""
    chance, code = np.random.default_rng(0), -(2**15)
    samples = [beat(number, number % 4 == 1, chance) for number in range(120)]
    for one in samples:
        one.row["missing"] = [code, None]
    signal = np.array(samples[3].arrays["signal"])
    signal[0, 5:9] = code
    samples[3].arrays["signal"] = signal
    dataset = make_dataset("gaps", samples)
    plan = planned(dataset, scale=scale)
    assert max(map(abs, plan.mean), default=0) < 10  # of volts: nobody took the code for a value
    for budget in (0, 2**20):
        given = SignalCases(dataset, range(120), plan, budget).take([3, 4])
        assert np.isnan(given.signal[0, 0]).nonzero()[0].tolist() == [5, 6, 7, 8]
        assert np.isnan(given.signal).sum() == 4
        made = scaled(given, plan)
        assert (made.signal[0, 0, 5:9] == 0).all()
        there = np.r_[0:5, 9:40]
        if scale == "window":
            left = made.signal[0, 0, there]
            assert abs(left.mean()) < 1e-5
            assert left.std() == pytest.approx(1, abs=1e-5)
        else:
            whole = scaled(SignalCases(beats, range(120), plan, budget).take([3]), plan)
            np.testing.assert_array_equal(made.signal[0][:, there], whole.signal[0][:, there])


@pytest.mark.parametrize("budget", [0, 2**20])  # read as they are drawn, or held
def test_signals_are_physical_with_the_leads_of_the_plan(beats: Dataset, budget: int) -> None:
    plan = planned(beats, leads=["II", "I"])
    some = SignalCases(beats, range(120), plan, budget).take([7, 3])
    for at, index in enumerate((7, 3)):
        stored = beats.array(index, "signal")[...].astype(np.float64)
        np.testing.assert_allclose(some.signal[at, 1], stored[0] / 200, rtol=1e-6)
        np.testing.assert_allclose(some.signal[at, 0], (stored[1] - 10) / 100, rtol=1e-5)
        assert some.context is not None
        assert (some.context[at] == beats.array(index, "context")[...][::-1]).all()


def test_batches_are_the_same_from_storage_and_from_memory(
    beats: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(beats)
    far, held = (SignalCases(beats, range(120), plan, budget) for budget in (0, 2**20))
    assert far.together > held.together == 1
    wanted = [one.parts[0].inputs for one in loader(held, (0, 1)).batches(0, 9)]
    for most in (far.together, 40, 1):  # all nine steps at once, one, and less than one
        monkeypatch.setattr(far._store, "together", most)
        for one, other in zip(loader(far, (0, 1)).batches(0, 9), wanted, strict=True):
            given = one.parts[0].inputs
            assert isinstance(given, dict)
            assert isinstance(other, dict)
            assert all(torch.equal(given[name], other[name]) for name in other)


def test_samples_unlike_the_plan_are_refused(beats: Dataset) -> None:
    for given in ({"rate": 250.0}, {"leads": ["V1"]}, {"length": 41}):
        plan = planned(beats).model_copy(update=given)
        with pytest.raises(DataError) as refused:
            SignalCases(beats, range(120), plan, 2**20)
        assert refused.value.code == "model-mismatch"


def loader(cases: SignalCases, share: tuple[int, int], parts: int = 1) -> SignalLoader:
    order, targets = Order(120, 32, seed=5), torch.arange(120)
    return SignalLoader(cases, order, targets, augment=AUGMENT, share=share, parts=parts)


def test_batches_are_the_same_for_any_number_of_ranks(beats: Dataset) -> None:
    cases = SignalCases(beats, range(120), planned(beats), 2**20)
    for step in (0, 3, 4):
        (whole,) = loader(cases, (0, 1)).batch(step).parts
        parts = [loader(cases, (rank, 3)).batch(step).parts[0] for rank in range(3)]
        for name in ("signal", "context", "columns"):
            joined = torch.cat([part.inputs[name] for part in parts])
            assert torch.equal(joined, whole.inputs[name])
        assert torch.equal(torch.cat([part.target for part in parts]), whole.target)
    cut = loader(cases, (0, 1), parts=4).batch(3).parts
    assert [len(part.target) for part in cut] == [8, 8, 8, 8]
    many = list(loader(cases, (0, 1)).batches(2, 9))
    assert [one.step for one in many] == list(range(2, 9))
    (again,) = loader(cases, (0, 1)).batch(8).parts
    assert torch.equal(many[-1].parts[0].inputs["signal"], again.inputs["signal"])


def test_two_ranks_train_as_one(beats: Dataset, tmp_path: Path) -> None:
    """Five samples a step: one rank has two, the other three; each draws its own at random."""
    settings = TrainSettings(
        epochs=2, steps_per_epoch=4, batch_size=5, augment=AUGMENT.model_dump(), ema=0.9
    )
    setup = TrainSetup(
        beats.objects, beats.reference, TASK, MODEL, planned(beats), settings, "runs/alone",
        select={"fold": [0, 1]}, validation={"fold": 2},
    )  # fmt: skip
    alone, both = fit(setup, World()), replace(setup, run="runs/both")
    assert launch(both, size=2, folder=tmp_path) == [0, 0]
    losses = [row["loss"] for row in alone.rows]
    shared = [row["loss"] for row in outcome(both).rows]
    assert shared[0] == pytest.approx(losses[0], rel=1e-6)
    assert shared == pytest.approx(losses, rel=1e-3)
    again = fit(replace(setup, run="runs/again"), World()).rows
    assert [row["loss"] for row in again] == losses


@pytest.mark.parametrize("model", ["cnn1d", "resnet1d", "bilstm", "signal-transformer"])
def test_models_learn_predict_and_are_scored(beats: Dataset, objects: Objects, model: str) -> None:
    steps = [
        {
            "kind": "train", "data": "beats", "folds": "fold", "select": {}, "output": "net",
            "task": TASK, "model": {"name": model}, "plan": {"columns": COLUMNS},
            "train": {
                "epochs": 30, "batch_size": 16, "select": "last", "threads": 1,
                "optimiser": {"lr": 1e-2},
            },
        },
        {"kind": "predict", "model": "net", "data": "beats", "batch": 16, "output": "answers"},
        {"kind": "evaluate", "predictions": "answers", "data": "beats", "output": "scores"},
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    summary = open_dataset(objects, "scores").attributes["summary"]
    assert summary["metrics"]["accuracy"]["value"] > 0.95
    rows = open_dataset(objects, "answers").samples.to_pylist()
    assert rows[1]["record"] == "1"  # a prediction still says of which record it is
    assert set(open_model(objects, "net").config["folds"]) == {"column", "members"}


def test_other_patients_under_the_old_name_are_asked_of_all_folds(
    objects: Objects, tmp_path: Path
) -> None:
    chance = np.random.default_rng(0)

    def ingest(folder: str, records: range, output: str) -> dict[str, Any]:
        (tmp_path / folder).mkdir(exist_ok=True)
        number = np.repeat(np.asarray(records), 10)
        beats = chance.normal(size=(len(number), 16)).astype(np.float32)
        names = {"signal": beats, "record": number, "y": number % 2, "rate": 100}
        np.savez(tmp_path / folder / "b.npz", **names)
        format_ = {"name": "signal-npz", "labels": "y", "classes": ["N", "V"], "record": "record"}
        split = {"folds": 2, "by": "subject", "seed": 1}
        source = str(tmp_path / folder)
        return {"kind": "ingest", "format": format_, "source": source, "output": output,
                "split": split}  # fmt: skip

    train = {
        "kind": "train", "data": "beats", "folds": "fold", "select": {}, "output": "net",
        "task": TASK, "model": MODEL, "train": {"epochs": 1, "batch_size": 16, "threads": 1},
    }  # fmt: skip
    ask = {"kind": "predict", "model": "net", "batch": 8}
    steps = [ingest("own", range(8), "beats"), train, {**ask, "data": "beats", "output": "own"}]
    run(steps, storage=objects, cluster="inline")
    later = [ingest("other", range(20, 26), "beats"), {**ask, "data": "beats", "output": "same"}]
    later += [{**later[0], "output": "others"}, {**ask, "data": "others", "output": "apart"}]
    run(later, storage=objects, cluster="inline")
    answers = {
        name: [row["probability"] for row in open_dataset(objects, name).samples.to_pylist()]
        for name in ("own", "same", "apart")
    }
    assert answers["same"] == answers["apart"]
    assert len(answers["own"]) == 80
