"""Sequences of events to a network and back: learnt, answered in bulk and by requests alike."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError, MedrayError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.ehr.wire import RecordWire
from medray.modalities.loaded import load_trained
from medray.modalities.media import JSON
from medray.modalities.plan import PredictOptions
from medray.modalities.wire import Limits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects

LIMITS = Limits(decoded_bytes=2**20)
MAPPING = {
    "tables": {
        "events": {
            "subject": "who",
            "events": [{"code": "{code}", "time": "time"}],
        }
    }
}
TASK = {"name": "classification", "classes": ["quiet", "ill"]}
PLAN: dict[str, Any] = {"names": ["A//1", "B"], "answers": "sample"}


def write(path: Path, people: int, seed: int) -> None:
    """Who had B after A falls ill; who had A after B does not: counts tell nothing."""
    rng = np.random.default_rng(seed)
    lines = ["who,code,time"]
    for person in range(people):
        ill = person % 2
        first, second = ("A", "B") if ill else ("B", "A")
        hours = np.sort(rng.choice(np.arange(1, 23), 2, replace=False))
        rows = [("IN", 0), (first, hours[0]), (second, hours[1]), ("NOISE", rng.integers(1, 23))]
        rows += [("ILL", 30)] * ill + [("OUT", 40)]
        for code, hour in rows:
            day, rest = divmod(int(hour), 24)
            lines.append(f"p{seed}-{person},{code},2020-01-{day + 1:02d} {rest:02d}:00")
    path.write_text("\n".join(lines))


def cohort(root: Path) -> list[dict[str, Any]]:
    form = {"name": "ehr", "mapping": MAPPING, "deidentify": {"method": "none"}}
    operation = {
        "name": "cohort",
        "at": {"event": ["IN"], "plus": "24h"},
        "label": {"event": ["ILL"], "until": ["OUT"]},
        "sequence": {"min_subjects": 1},
    }
    return [
        {"kind": "ingest", "format": form, "source": str(root), "output": "parts",
         "split": {"train": 0.7, "val": 0.3}},
        {"kind": "gather", "data": "parts", "output": "people"},
        {"kind": "transform", "data": "people", "operation": operation, "output": "cohort"},
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    root = tmp_path_factory.mktemp("ehr")
    (root / "source").mkdir()
    write(root / "source/events.csv", 240, 1)
    objects = Objects(str(root / "store"))
    train = {"epochs": 12, "batch_size": 16, "threads": 1, "checkpoint_every": 1000,
             "optimiser": {"lr": 0.01}, "augment": None}  # fmt: skip
    model = {"name": "ehr-rnn", "width": 8, "hidden": 12, "dropout": 0.0}
    run(
        [
            *cohort(root / "source"),
            {"kind": "train", "data": "cohort", "task": TASK, "model": model, "output": "net",
             "train": train},
            {"kind": "predict", "model": "net", "data": "cohort", "select": {"split": "val"},
             "batch": 16, "output": "answers"},
            {"kind": "evaluate", "predictions": "answers", "data": "cohort", "output": "scores"},
        ],
        storage=objects,
        cluster="inline",
    )  # fmt: skip
    return objects


def test_an_order_is_learnt_that_counts_do_not_tell(trained: Objects) -> None:
    summary = open_dataset(trained, "scores").attributes["summary"]
    assert summary["metrics"]["auroc"]["value"] > 0.95
    (beside,) = summary["baselines"].values()
    assert beside["auroc"] < 0.75


def test_requests_are_answered_as_bulk_is(trained: Objects) -> None:
    model = load_trained(trained, "net")
    predictor = model.modality.predictor(model, Asking(PredictOptions(), batch=3))
    data, answers = open_dataset(trained, "cohort"), open_dataset(trained, "answers")
    words = ["", "?", *data.attributes["vocabulary"]]
    wire = RecordWire(model.plan.model_dump(mode="json"))
    expected = {row["sample_id"]: row["probability"] for row in answers.samples.to_pylist()}
    bodies = []
    for sample in list(data)[:20]:
        codes = [words[code] for code in np.asarray(sample.arrays["codes"]).tolist()]
        hours = np.asarray(sample.arrays["hours"]).tolist()
        bodies.append({"codes": codes, "hours": hours, "sample_id": sample.id})
    asked = wire.read(json.dumps(bodies).encode(), JSON, LIMITS)
    assert asked.many
    prepared = [predictor.prepare(InMemory(one), 1) for one in asked.samples]
    found = {one.id: one.row["probability"] for one in predictor.compute(prepared)}
    both = found.keys() & expected.keys()
    assert len(both) > 3
    for name in both:
        assert found[name] == pytest.approx(expected[name], abs=1e-5)


def test_a_cohort_of_other_codes_is_refused_unless_it_is_like_the_first(
    trained: Objects, tmp_path: Path
) -> None:
    write(tmp_path / "events.csv", 6, 2)
    text = (tmp_path / "events.csv").read_text() + "\n" + "\n".join(
        f"p2-0,NEW{n},2020-01-01 0{n}:00" for n in range(6)
    )  # fmt: skip
    (tmp_path / "events.csv").write_text(text)
    ingest, gather, transform = cohort(tmp_path)
    steps = [{**ingest, "output": "p2"}, {**gather, "data": "p2", "output": "g2"}]
    other = {**transform, "data": "g2", "output": "c2"}
    predict = {"kind": "predict", "model": "net", "data": "c2", "output": "a2"}
    with pytest.raises(MedrayError, match="model-mismatch"):
        run([*steps, other, predict], storage=trained, cluster="inline")
    like = {**other, "using": {"like": "cohort"}}
    run([*steps, like, predict], storage=trained, cluster="inline")
    assert len(open_dataset(trained, "a2")) == 6
    first, second = (
        open_dataset(trained, name).attributes["vocabulary"] for name in ("cohort", "c2")
    )
    assert first == second


@pytest.mark.parametrize(
    "body",
    [
        {"codes": ["B"]},
        {"codes": "B", "hours": [1]},
        {"codes": ["B"], "hours": [1, 2]},
        {"codes": [3], "hours": [1]},
        {"codes": ["B"], "hours": [-1]},
        {"codes": ["B"], "hours": ["1"]},
        {"codes": ["B"], "hours": [True]},
        {"codes": ["B"], "hours": [1e300]},
        {"codes": ["B"], "hours": [10**400]},
    ],
)
def test_bodies_of_another_form_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="bad-json"):
        RecordWire(PLAN).read(json.dumps(body).encode(), JSON, LIMITS)


@pytest.mark.parametrize("hours", [[0.5, 5], [5, None]])
def test_events_of_a_request_are_in_order(hours: list[float | None]) -> None:
    body = {"codes": ["A//1", "B"], "hours": hours}
    with pytest.raises(DataError, match="unordered-events"):
        RecordWire(PLAN).read(json.dumps(body).encode(), JSON, LIMITS)


def test_codes_by_name_and_hours_that_are_null() -> None:
    body = {"codes": ["SEX//f", "B", "A//1"], "hours": [None, 5, 0.5]}
    (sample,) = RecordWire(PLAN).read(json.dumps(body).encode(), JSON, LIMITS).samples
    assert np.asarray(sample.arrays["codes"]).tolist() == [1, 3, 2]
    hours = np.asarray(sample.arrays["hours"])
    assert np.isnan(hours[0])
    assert hours[1:].tolist() == [5, 0.5]
