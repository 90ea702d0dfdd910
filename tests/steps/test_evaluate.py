import numpy as np
import pytest

from medray.engine.units.operation import Unit
from medray.engine.units.worker import Worker, WorkerSpec
from medray.errors import DataError
from medray.steps.base.planned import plan_shards
from medray.steps.evaluate.operation import Evaluate, cautions, headline, summarise
from medray.steps.evaluate.resolve import OPERATION
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter, table_of
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.metrics.surface import volume_diagonal_mm
from tests.declared import declared_of

MASKS = {"name": "segmentation", "classes": ["background", "anterior", "posterior"]}
IMAGES = {"name": "classification", "classes": ["normal", "pneumonia"], "target": "label"}
SPACING = [2.0, 1.0, 1.0]


def dataset(objects: Objects, name: str, samples: list[Sample]) -> Dataset:
    """A dataset of one unit, committed as a worker would."""
    ledger = Ledger(objects, name)
    attempt = ledger.begin("u0")
    writer = ShardWriter(objects, ledger.shard_path(attempt), declared_of(samples))
    for sample in samples:
        writer.add(sample)
    commit = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), len(samples), []))
    made = Commits.of([commit])
    return publish(objects, name, kind="test", spec="", commits=made, refused=[], parents=[])


def run(objects: Objects, task: dict, truth: Dataset, predictions: Dataset) -> Dataset:
    planned = plan_shards(truth, "evaluate", identity={}, select={}, paired=predictions)
    spec = WorkerSpec(OPERATION, {"task": task}, objects, "scores")
    worker = Worker(spec)
    for unit in planned.units:
        assert worker.run(unit).state == "committed"
    return publish(
        objects,
        "scores",
        kind="evaluate",
        spec="",
        commits=worker.ledger.committed(unit.id for unit in planned.units),
        refused=[],
        parents=[],
    )


def mask(shift: int = 0) -> np.ndarray:
    label = np.zeros((6, 12, 10), np.uint8)
    label[1:4, 2 + shift : 8 + shift, 2:5] = 1
    label[1:4, 2 + shift : 8 + shift, 5:8] = 2
    return label


def test_masks_are_scored_against_the_truth_and_the_missing_one_is_worst(objects: Objects) -> None:
    row = {"spacing_mm": SPACING}
    image = np.zeros((1, 6, 12, 10), np.int16)
    truth = dataset(
        objects,
        "truth",
        [
            Sample(f"c{i}", {**row, "subject": f"p{i // 2}"}, {"image": image, "label": mask()})
            for i in range(4)
        ],
    )
    predictions = dataset(
        objects,
        "masks",
        [
            Sample("c2", row, {"label": mask(2)}),  # another order than the truth
            Sample("c0", row, {"label": mask()}),
            Sample("c1", row, {"label": np.where(mask() == 2, 0, mask()).astype(np.uint8)}),
        ],
    )
    scores = run(objects, MASKS, truth, predictions)
    rows = {(r["case"], r["class"]): r for r in scores.samples.to_pylist()}
    assert len(rows) == 8
    assert scores.inputs.committed == 4
    worst = volume_diagonal_mm((6, 12, 10), tuple(SPACING))
    assert rows["c0", "anterior"]["dice"] == 1.0
    assert rows["c2", "anterior"]["dice"] == pytest.approx(4 / 6)
    assert rows["c1", "posterior"]["status"] == "missed"
    assert rows["c3", "anterior"]["status"] == "no-prediction"
    assert {rows["c3", c]["hd95_mm"] for c in ("anterior", "posterior")} == {worst}
    assert rows["c3", "anterior"]["subject"] == "p1"
    summary = summarise(MASKS, scores.samples, repeats=50)
    anterior = np.mean([1, 1, 4 / 6, 0])
    posterior = np.mean([1, 0, 4 / 6, 0])
    assert headline(summary)["dice"] == pytest.approx((anterior + posterior) / 2)
    assert summary["counts"] == {"scored": 5, "missed": 1, "no-prediction": 2}
    assert summarise(MASKS, scores.samples, repeats=0)["metrics"]["dice"]["low"] is None


def test_maps_of_probabilities_are_scored_by_their_most_probable_class(objects: Objects) -> None:
    row = {"spacing_mm": SPACING}
    image = np.zeros((1, 6, 12, 10), np.int16)
    speck = mask(2)
    speck[5, 0, 0] = 1
    probability = np.stack([speck == index for index in range(3)]) * np.float32(0.5) + 0.25
    truth = dataset(
        objects,
        "truth",
        [Sample(f"c{i}", row, {"image": image, "label": mask()}) for i in range(2)],
    )
    predictions = dataset(
        objects,
        "maps",
        [Sample("c0", row, {"probability": probability.astype(np.float32)})],
    )
    scores = run(objects, MASKS | {"keep_largest": ["anterior", "posterior"]}, truth, predictions)
    dice = {(r["case"], r["class"]): r["dice"] for r in scores.samples.to_pylist()}
    assert dice["c0", "anterior"] == pytest.approx(4 / 6), "and the speck is gone"
    assert dice["c0", "posterior"] == pytest.approx(4 / 6)


def test_probabilities_are_scored_against_the_column(objects: Objects) -> None:
    truth = dataset(objects, "truth", [Sample(f"s{i}", {"label": i % 2}, {}) for i in range(6)])
    sure = {0: [0.9, 0.1], 1: [0.2, 0.8]}
    predictions = dataset(
        objects,
        "answers",
        [Sample(f"s{i}", {"probability": sure[i % 2]}, {}) for i in range(5)],
    )
    scores = run(objects, IMAGES, truth, predictions)
    assert scores.quarantine().to_pylist() == []
    summary = summarise(IMAGES, scores.samples, repeats=0)
    assert summary["counts"] == {"scored": 5, "no-prediction": 1}
    assert headline(summary)["accuracy"] == pytest.approx(5 / 6)
    assert headline(summary)["auroc"] == pytest.approx(6 / 9)  # the lost positive is below all


def test_values_are_scored_against_the_column(objects: Objects) -> None:
    task = {"name": "regression", "target": "rate"}
    truth = dataset(objects, "truth", [Sample(f"s{i}", {"rate": float(i)}, {}) for i in range(5)])
    predictions = dataset(
        objects, "answers", [Sample(f"s{i}", {"predicted": i + 0.5}, {}) for i in range(1, 5)]
    )
    scores = run(objects, task, truth, predictions)
    assert scores.quarantine().to_pylist() == []
    summary = summarise(task, scores.samples, repeats=20)
    assert summary["counts"] == {"no-prediction": 1, "scored": 4}
    # 0 is answered by 4, the truth furthest from it.
    assert headline(summary)["r2"] == pytest.approx(1 - (16 + 4 * 0.25) / 10)


def test_bases_are_scored_by_their_probabilities(objects: Objects) -> None:
    task = {"name": "tagging", "classes": ["constant", "variable"]}
    label = np.array([0, 1, 0, 1, 255, 0], np.uint8)
    sure = np.array([0.1, 0.9, 0.2, 0.15, 0.99, 0.05], np.float32)
    truth = dataset(objects, "truth", [Sample(f"w{i}", {}, {"label": label}) for i in range(2)])
    made = {"probability": np.stack([1 - sure, sure])}
    predictions = dataset(objects, "answers", [Sample("w1", {}, made)])
    scores = run(objects, task, truth, predictions)
    assert scores.quarantine().to_pylist() == []
    rows = {row["case"]: row for row in scores.samples.to_pylist()}
    assert rows["w1"]["auroc"] == [pytest.approx(5 / 6)]
    assert rows["w0"]["auroc"] == [0.0]
    assert rows["w1"]["bases"] == 5
    summary = summarise(task, scores.samples, repeats=20)
    assert headline(summary)["f1"] == pytest.approx(2 * 1 / (2 * 1 + 3 + 3))
    assert headline(summary)["auroc_per_sample"] == pytest.approx(5 / 12)


def test_a_task_from_outside_names_the_arrays_that_it_reads(
    objects: Objects, plugged: None
) -> None:
    assert build_task({"name": "marks"}).needs == Needs((names("marks"),))
    marks, image = np.array([3, 5, 8]), np.zeros((1, 6, 12, 10), np.int16)
    truth = dataset(
        objects, "truth", [Sample(f"s{i}", {}, {"marks": marks, "image": image}) for i in range(3)]
    )
    guesses = [
        {"guess": np.array([5, 8]), "marks": marks},
        {"marks": np.array([3]), "image": image},
    ]
    predictions = dataset(
        objects, "guesses", [Sample(f"s{i}", {}, one) for i, one in enumerate(guesses)]
    )
    scores = run(objects, {"name": "marks"}, truth, predictions)
    rows = {row["case"]: (row["tally_error"], row["seen"]) for row in scores.samples.to_pylist()}
    # Of a prediction the first that is there is read, and nothing else.
    assert rows == {"s0": (2.0, "marks,guess"), "s1": (1.0, "marks,marks"), "s2": (0.0, None)}


def test_a_case_on_another_grid_is_quarantined(objects: Objects) -> None:
    truth = dataset(objects, "truth", [Sample("a", {}, {"label": mask()})])
    predictions = dataset(objects, "masks", [Sample("a", {}, {"label": mask()[1:]})])
    scores = run(objects, MASKS, truth, predictions)
    assert (scores.inputs.committed, scores.inputs.quarantined) == (0, 1)
    assert scores.quarantine()["code"].to_pylist() == ["grid-mismatch"]
    with pytest.raises(DataError) as caught:
        summarise(MASKS, scores.samples)
    assert caught.value.code == "nothing-scored"


def test_the_image_is_not_read(objects: Objects) -> None:
    truth = dataset(
        objects,
        "truth",
        [Sample("a", {}, {"image": np.ones((1, 6, 12, 10), np.int16), "label": mask()})],
    )
    operation = Evaluate(objects, {"task": MASKS})
    payload = {"shard": truth.shards[0].pinned, "rows": [0], "paired": [None]}
    loaded = next(operation.load(Unit("u", 0, ("a",), payload), "a"))
    assert isinstance(loaded, Sample)
    assert list(loaded.arrays) == ["label"]


def test_no_rows_no_summary() -> None:
    with pytest.raises(DataError):
        summarise(MASKS, table_of([]))


def test_what_was_learnt_from_is_told_as_it_is() -> None:
    def told(samples: int, subjects: int) -> str:
        seen = {"cases": 16, "samples": samples, "subjects": subjects}
        return cautions({"learnt": seen, "metrics": {}})[0].partition(" that the model")[0]

    assert told(12, 0) == "12 of the 16 cases that are scored are cases"
    assert told(12, 3) == told(12, 0) + ", and 3 more are of subjects"
    assert told(0, 3) == "3 of the 16 cases that are scored are of subjects"
    assert cautions({"learnt": {"cases": 16, "samples": 0, "subjects": 0}, "metrics": {}}) == []
