import datetime
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from medray.clock import VirtualClock
from medray.report.collect import HISTORY, collect, write_report
from medray.steps.evaluate.operation import summarise
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter, table_of
from medray.storage.store.objects import Objects
from medray.tasks import build_task

TASK = {"name": "segmentation", "classes": ["background", "lesion"]}
CLOCK = VirtualClock(datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC))


def dataset(
    objects: Objects,
    name: str,
    samples: list[Sample],
    parents: tuple[Dataset, ...] = (),
    refused: tuple[Refusal, ...] = (),
    **attributes: object,
) -> Dataset:
    ledger = Ledger(objects, name)
    attempt = ledger.begin("u0")
    writer = ShardWriter(objects, ledger.shard_path(attempt))
    for sample in samples:
        writer.add(sample)
    commit = Commit("u0", attempt.id, writer.finish(), len(samples), [], {"read": 1.5})
    return publish(
        objects,
        name,
        kind="test",
        spec="",
        commits=Commits.of([ledger.commit(attempt, commit)]),
        refused=list(refused),
        parents=[parent.reference for parent in parents],
        attributes=attributes,
    )


def evaluated(
    objects: Objects, rows: list[Sample], parents: tuple[Dataset, ...], task: dict
) -> Dataset:
    """Score rows with their summary, as a job publishes them."""
    cases = table_of([{"sample_id": row.id, **row.row} for row in rows])
    summary = summarise(task, cases, repeats=20)
    return dataset(objects, "scores", rows, parents, task=task, summary=summary)


def mask(shift: int) -> np.ndarray:
    label = np.zeros((5, 16, 16), np.uint8)
    label[2:4, 3 + shift : 9 + shift, 3:9] = 1
    return label


@pytest.fixture
def steps(objects: Objects) -> list[dict]:
    row = {"spacing_mm": [2.0, 1.0, 1.0]}
    image = np.random.default_rng(0).integers(0, 99, (1, 5, 16, 16)).astype(np.int16)
    truth = [Sample(f"c{i}", row, {"image": image, "label": mask(0)}) for i in range(4)]
    tilted = Refusal("series-1", "gantry-tilt", "tilted by 18.5°", files=28)
    data = dataset(objects, "ct", truth, refused=(tilted,))
    history = [{"epoch": i, "step": i, "loss": 1 / (i + 1)} for i in range(2)]
    model = save_model(
        objects,
        "net",
        weights=b"",
        config={"task": TASK, "plan": {"patch": [32, 32]}},
        metrics={},
        parents=[data.reference],
        spec="",
        card="",
        extra={HISTORY: json.dumps(history).encode()},
    )
    predicted = [Sample(f"c{i}", row, {"label": mask(i)}) for i in range(3)]
    masks = dataset(objects, "masks", predicted, parents=(data,))
    scored = []
    task = build_task(TASK)
    for i, sample in enumerate(truth):
        rows = task.score(sample, predicted[i] if i < 3 else None)
        scored += [Sample(sample.id, {"case": sample.id, **scores}) for scores in rows]
    scores = evaluated(objects, scored, (masks, data), TASK)
    units = {"planned": 1, "committed": 1, "skipped": 1, "quarantined": 0}
    return [
        {"kind": "ingest", "output": data.reference, "units": units, "seconds": 2.0},
        {"kind": "train", "output": model.reference, "seconds": 60.0},
        {"kind": "predict", "output": masks.reference},
        {"kind": "evaluate", "output": scores.reference},
    ]


def test_everything_in_storage_is_on_the_report(objects: Objects, steps: list[dict]) -> None:
    report = collect(objects, "ct job", steps, run="r-1", clock=CLOCK)
    ingest, train, predict, _ = report.steps
    assert (ingest.planned, ingest.committed, ingest.quarantined) == (5, 4, 1)
    assert (ingest.units, ingest.reused, ingest.stages) == (1, 1, {"read": 1.5})
    assert train.planned is None
    assert train.digest
    assert predict.parents == [steps[0]["output"]]
    assert report.seconds == 62.0
    assert [(g.step, g.code, g.files) for g in report.refusals] == [("ct", "gantry-tilt", 28)]
    assert [row["loss"] for row in report.trainings[0].history] == [1.0, 0.5]
    assert report.trainings[0].config["plan.patch"] == [32, 32]
    (scores,) = report.scores
    assert scores.summary["counts"] == {"scored": 3, "no-prediction": 1}
    want = np.mean([1.0, 5 / 6, 4 / 6, 0.0])
    assert scores.summary["metrics"]["dice"]["value"] == pytest.approx(want)
    assert report.verdict[1] == "Complete, with missing predictions"
    pictures = [(overlay.title, overlay.case) for overlay in scores.overlays]
    assert pictures == [("best", "c0"), ("median", "c1"), ("worst", "c2")]
    assert scores.overlays[2].caption == "mean Dice 0.667 · slice 3 of 5"
    assert [name for name, _ in scores.overlays[0].panels] == ["image", "truth", "prediction"]
    assert report.environment["numpy"] == np.__version__


def test_the_page_is_written_to_storage(objects: Objects, steps: list[dict]) -> None:
    path = write_report(objects, "ct-job", steps, run="r-1", clock=CLOCK)
    assert path == "reports/ct-job/report.html"
    html = objects.get(path).decode()
    assert "2026-01-02 03:04 UTC" in html
    assert html.count("data:image/png") == 9


def test_its_numbers_stand_beside_it(objects: Objects, steps: list[dict]) -> None:
    write_report(objects, "ct-job", steps, run="r-1", clock=CLOCK)
    data = io.BytesIO(objects.get("reports/ct-job/metrics.parquet"))
    rows = pq.ParquetFile(data).read(use_threads=False).to_pylist()
    learnt = [(row["metric"], row["step"], row["value"]) for row in rows if row["output"] == "net"]
    assert learnt == [("loss", 0, 1.0), ("loss", 1, 0.5)]
    scored = [row for row in rows if row["output"] == "scores"]
    dice = {row["class"]: row for row in scored if row["metric"] == "dice"}
    assert set(dice) == {"", "lesion"}
    assert dice["lesion"]["value"] == pytest.approx(np.mean([1.0, 5 / 6, 4 / 6, 0.0]))
    assert (dice["lesion"]["low"], dice["lesion"]["subjects"]) == (None, 4)
    assert (dice["lesion"]["cases"], dice["lesion"]["step"]) == (4, None)
    html = objects.get("reports/ct-job/report.html").decode()
    assert "no interval: 4 subjects" in html
    assert {"hd95_mm", "lesion_f1"} <= {row["metric"] for row in scored if not row["class"]}


def test_an_unfinished_step_is_on_it(objects: Objects, steps: list[dict]) -> None:
    failed = {"kind": "predict", "output": "masks", "state": "interrupted"}
    report = collect(objects, "ct job", [*steps[:2], failed], clock=CLOCK)
    assert report.verdict[:2] == ("bad", "Not finished")
    assert "interrupted" in report.verdict[2]


def test_images_that_were_called_wrongly_are_shown(objects: Objects) -> None:
    task = {"name": "classification", "classes": ["normal", "pneumonia"], "target": "label"}
    images = [
        Sample(f"s{i}", {"label": i % 2}, {"image": np.full((1, 8, 8), i * 20, np.uint8)})
        for i in range(8)
    ]
    data = dataset(objects, "xray", images)
    answers = dataset(
        objects,
        "answers",
        [Sample(f"s{i}", {"probability": [i / 8, 1 - i / 8]}) for i in range(8)],
        parents=(data,),
    )
    judge = build_task(task)
    rows = []
    for i, sample in enumerate(images):
        (row,) = judge.score(sample, Sample(sample.id, {"probability": [i / 8, 1 - i / 8]}))
        rows.append(Sample(sample.id, {"case": sample.id, **row}))
    scores = evaluated(objects, rows, (answers, data), task)
    report = collect(
        objects, "xray job", [{"kind": "evaluate", "output": scores.reference}], clock=CLOCK
    )
    (worst,) = report.scores[0].overlays
    assert worst.case == ""
    assert worst.panels[0][0] == "s0: normal, error 1.00"
    assert len(worst.panels) == 6
    write_report(objects, "xray-job", [{"kind": "evaluate", "output": scores.reference}])
