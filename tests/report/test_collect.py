import datetime
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from medray.clock import VirtualClock
from medray.report.collect import HISTORY, collect, write_report
from medray.report.page import render
from medray.steps.evaluate.operation import summarise
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import ModelPackage, save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter, table_of
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.declared import DECLARED

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
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
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


def saved(
    objects: Objects, network: str, task: dict, history: list[dict], parents: list[str]
) -> ModelPackage:
    return save_model(
        objects,
        "net",
        weights=b"",
        config={"model": {"name": network}, "task": task, "plan": {"patch": [32, 32]}},
        metrics={},
        parents=parents,
        spec="",
        card="",
        extra={HISTORY: json.dumps(history).encode()},
    )


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
    history[1]["val_dice"] = 0.5
    model = saved(objects, "unet", TASK, history, parents=[data.reference])
    predicted = [Sample(f"c{i}", row, {"label": mask(i)}) for i in range(3)]
    masks = dataset(objects, "masks", predicted, parents=(data,), model=model.reference)
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
    assert report.trainings[0].directions == {"val_dice": True}
    assert report.trainings[0].config["plan.patch"] == [32, 32]
    (scores,) = report.scores
    assert scores.summary["counts"] == {"scored": 3, "no-prediction": 1}
    want = np.mean([1.0, 5 / 6, 4 / 6, 0.0])
    assert scores.summary["metrics"]["dice"]["value"] == pytest.approx(want)
    assert report.verdict[1] == "Complete, with missing predictions"
    pictures = scores.section.pictures
    shown = [(picture.title, [case for case, _ in picture.cases]) for picture in pictures]
    assert shown == [("best", ["c0"]), ("median", ["c1"]), ("worst", ["c2"])]
    assert pictures[2].caption == "mean Dice 0.667 · slice 3 of 5"
    assert [name for name, _ in pictures[0].panels] == ["image", "truth", "prediction"]
    assert [name for name, _ in pictures[0].legend] == ["lesion"]
    assert report.environment["numpy"] == np.__version__


def test_the_page_is_written_to_storage(objects: Objects, steps: list[dict]) -> None:
    path = write_report(objects, "ct-job", steps, run="r-1", clock=CLOCK)
    assert path == "reports/ct-job/report.html"
    html = objects.get(path).decode()
    assert "2026-01-02 03:04 UTC" in html
    assert html.count("data:image/png") == 9 + 4  # three of each of three cases, and what came in
    assert html.count('class="card viewer"') == 3
    assert "By spacing" not in html  # all are alike
    assert b"ct-job/report.html" in objects.get("reports/index.html")


def test_its_numbers_stand_beside_it(objects: Objects, steps: list[dict]) -> None:
    write_report(objects, "ct-job", steps, run="r-1", clock=CLOCK)
    data = io.BytesIO(objects.get("reports/ct-job/metrics.parquet"))
    rows = pq.ParquetFile(data).read(use_threads=False).to_pylist()
    learnt = [(row["metric"], row["step"], row["value"]) for row in rows if row["output"] == "net"]
    assert learnt == [("loss", 0, 1.0), ("loss", 1, 0.5), ("val_dice", 1, 0.5)]
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
    model = saved(objects, "cnn", task, [], parents=[data.reference])
    answers = dataset(
        objects,
        "answers",
        [Sample(f"s{i}", {"probability": [i / 8, 1 - i / 8]}) for i in range(8)],
        parents=(data,),
        model=model.reference,
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
    (worst,) = report.scores[0].section.pictures
    assert len(worst.cases) == 6
    assert worst.panels[0][0] == "s0: normal called pneumonia, error 1.00"
    assert len(worst.panels) == 6
    write_report(objects, "xray-job", [{"kind": "evaluate", "output": scores.reference}])


def test_a_page_outlives_the_model_without_its_pictures(
    objects: Objects, steps: list[dict]
) -> None:
    masks, truth = (open_dataset(objects, steps[at]["output"]) for at in (2, 0))
    anew = [Sample(f"c{i}", {}, {"label": mask(i)}) for i in range(3)]
    gone = dataset(objects, "gone", anew, parents=(truth,), model="no-such@model")
    rows = [
        Sample(name, {"case": name, **row})
        for name, prediction in zip(("c0", "c1", "c2"), anew, strict=True)
        for row in build_task(TASK).score(Sample(name, {}, {"label": mask(0)}), prediction)
    ]
    for predictions, pictures in ((masks, 3), (gone, 0)):
        scores = evaluated(objects, rows, (predictions, truth), TASK)
        report = collect(objects, "job", [{"kind": "evaluate", "output": scores.reference}])
        assert len(report.scores[0].section.pictures) == pictures
        assert "Worst cases" in render(report)


def test_a_task_from_outside_has_a_page_for_nothing(objects: Objects, plugged: None) -> None:
    task = build_task({"name": "tally"})
    data = dataset(objects, "counts", [Sample(f"s{i}", {"tally": i}) for i in range(6)])
    answers = dataset(objects, "answers", [Sample("s0", {"probability": [2.0]})], parents=(data,))
    rows = [
        Sample(f"s{i}", {"case": f"s{i}", **row})
        for i in range(6)
        for row in task.score(Sample(f"s{i}", {}), Sample("", {"probability": [i + 0.25]}))
    ]
    scores = evaluated(objects, rows, (answers, data), {"name": "tally"})
    steps = [{"kind": "evaluate", "output": scores.reference}]
    html = render(collect(objects, "tallies", steps, clock=CLOCK))
    tile = html[html.index('<div class="tile">') :][:300]
    assert "&lt;tally&gt;" in tile
    assert "↑" in tile  # its name ends in error, and it is better the higher it is
    assert '<div class="value">2.8</div>' in tile
    assert "<tally>" not in html
    assert "All 6 rows, a row per case<" in html
    assert '<td class="n">5.2</td>' in html  # a case, in as many digits
    assert "beside" not in html


def test_a_kind_of_step_from_outside_shows_what_it_has(objects: Objects, plugged: None) -> None:
    data = dataset(objects, "counts", [Sample(f"s{i}", {}) for i in range(6)])
    html = render(collect(objects, "job", [{"kind": "plain", "output": data.reference}]))
    assert "<h2>Plainly: counts</h2>" in html
    assert '<div class="name">rows that there are</div>' in html
    assert '<div class="value">6</div>' in html
