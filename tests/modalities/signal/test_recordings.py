"""Pages of whole recordings: intervals that meet the truth, and those that do not."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medray.formats.signal.recording import Annotation, Segment
from medray.modalities.signal import Signals
from medray.modalities.signal.recordings import judged
from medray.report.figures import draw
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.section import Figure, ScoredCases, Section
from tests.recordings import recording

Make = Callable[[str, list[Sample]], Dataset]
RATE = 50.0
TASK = build_task({"name": "tagging", "classes": ["N", "AFIB"]})


def note(annotator: str, onset: float, text: str, duration: float | None = None) -> Annotation:
    return Annotation(annotator, onset, duration, text)


def recordings(*names: str, **more: Any) -> list[Sample]:
    chance = np.random.default_rng(0)
    values = chance.integers(-200, 200, (2, 360 * 50)).astype(np.int16)
    return [recording(name, {RATE: values}, **more) for name in names]


def predicted(name: str, *spans: tuple[float, float], **row: Any) -> Sample:
    found = [asdict(note("net", start, "AFIB", stop - start)) for start, stop in spans]
    told = {"record": name, "subject": name, "duration_s": 360.0, "annotations": found}
    return Sample(name, {**told, "interval_probability": [0.9] * len(spans), **row})


def section_of(make: Make, truth: list[Sample], given: list[Sample]) -> Section:
    (section,) = Signals().sections(make("given", given), make("data", truth))
    return section


def test_predictions_alone_have_alarms_by_the_hour(make_dataset: Make) -> None:
    given = [predicted("7", (150.0, 160.0), (300.0, 310.0)), predicted("9"), predicted("11")]
    section = section_of(make_dataset, recordings("7", "9", "11"), given)
    assert section.title == "Intervals: given"
    rate, many = section.tiles
    assert rate.value["value"] == pytest.approx(2 / 0.3)
    assert (rate.value["subjects"], many.value) == (3, 3)
    (table,) = section.tables
    assert [(row["record"], row["alarms"]) for row in table.rows] == [("7", 2), ("9", 0), ("11", 0)]
    assert "false" not in table.columns
    spread, whole, _ = (one for one in section.figures if isinstance(one, Figure))
    assert list(spread.data["series"]) == ["alarms: n 3, median 0.0, worst 20.0 (7)"]
    assert whole.title == "Record 7, whole"
    spans = [(150.0, 160.0, "AFIB", "plain"), (300.0, 310.0, "AFIB", "plain")]
    assert whole.data["rows"] == [{"name": "answer", "spans": spans}]


def test_recordings_are_drawn_with_their_truth_and_the_first_mistake(make_dataset: Make) -> None:
    told = [replace(note("atr", 100.0, "(AFIB"), symbol="+")]
    told.append(replace(note("atr", 200.0, "(N"), symbol="+"))
    truth = [*recordings("7", "11", annotations=told), *recordings("9")]
    given = [predicted("7", (150.0, 160.0), (300.0, 310.0)), predicted("9"), predicted("11")]
    cases = []
    for sample, answer in zip(truth, (given[0], given[2], given[1]), strict=True):
        (row,) = TASK.score(sample, answer)
        cases.append({"case": sample.id, "record": sample.id, **row})
    summary = TASK.conclude(pa.Table.from_pylist(cases), Bootstrap(repeats=0))
    section = TASK.section(ScoredCases("scores", summary, cases))
    table = section.tables[-1]
    rows = [(row["record"], row["alarms"], row["true"], row["missed"]) for row in table.rows]
    assert rows == [("7", 2, 1, 0), ("11", 0, 1, 1), ("9", 0, 0, 0)]
    assert table.rows[0]["false"] == pytest.approx(10.0)
    drawn = Signals().illustrate(
        section, TASK, make_dataset("data", truth), make_dataset("given", given)
    )
    assert drawn.pictures == ()
    spread, whole, near, other, missed, last = (
        one for one in drawn.figures if isinstance(one, Figure)
    )
    assert list(spread.data["series"]) == [
        "alarms: n 3, median 0.0, worst 20.0 (7)",
        "false alarms: n 3, median 0.0, worst 10.0 (7)",
    ]
    assert whole.title == "Record 7, whole: 1 of 2 alarms false, 0 of 1 missed"
    assert whole.data["rows"][0]["spans"] == [(100.0, 200.0, "AFIB", "plain")]
    assert [tone for *_, tone in whole.data["rows"][1]["spans"]] == ["right", "wrong"]
    assert near.title == "Record 7, false alarm: AFIB from 300.0 s"
    assert (near.data["start_s"], near.data["seconds"]) == (pytest.approx(300 - 10 / 3), 10.0)
    assert draw(near).startswith("<svg")
    assert missed.title == "Record 11, missed: AFIB from 100.0 s"
    assert [tone for *_, tone in missed.data["rows"][0]["spans"]] == ["missed"]
    assert other.title == "Record 11, whole: no alarms, 1 of 1 missed"
    assert last.title == "Record 9, whole: no alarms, nothing is annotated"
    assert (other.title[:9], last.title[:8]) == ("Record 11", "Record 9")


def test_beats_that_a_model_of_windows_is_judged_on_are_drawn(make_dataset: Make) -> None:
    """Of no length: lines in the whole record, letters in the seconds that are shown near by."""
    beats = [
        replace(note("atr", onset, ""), symbol=symbol)
        for onset, symbol in ((20.0, "N"), (50.0, "V"), (155.0, "V"), (157.0, "V"))
    ]
    task = build_task({"name": "anomaly", "normal": ["N"], "anomalous": ["V"], "threshold": 1.0})
    (truth,) = recordings("7", annotations=beats)
    given = predicted("7", (150.0, 160.0))
    for one in given.row["annotations"]:
        one["text"] = "anomaly"
    (row,) = task.score(truth, given)
    cases = [{"case": "7", "record": "7", **row}]
    summary = task.conclude(pa.Table.from_pylist(cases), Bootstrap(repeats=0))
    section = task.section(ScoredCases("scores", summary, cases))
    data = make_dataset("data", [truth]), make_dataset("given", [given])
    drawn = Signals().illustrate(section, task, *data)
    whole, near = (one for one in drawn.figures if isinstance(one, Figure))  # of one: no spread
    assert whole.title == "Record 7, whole: 0 of 1 alarms false, 1 of 3 missed"
    there, called = (row["spans"] for row in whole.data["rows"])
    assert there == [
        (50.0, 50.0, "anomaly", "missed"),
        (155.0, 155.0, "anomaly", "plain"),
        (157.0, 157.0, "anomaly", "plain"),
    ]
    assert called == [(150.0, 160.0, "anomaly", "right")]
    assert near.title == "Record 7, missed: anomaly from 50.0 s"
    assert near.data["rows"] == [
        {"name": "truth", "spans": [], "marks": [(50.0, "anomaly", "missed")]},
        {"name": "answer", "spans": [], "marks": []},
    ]
    assert 'stroke-width="1.5"' in draw(whole)
    assert 'font-weight="bold"' in draw(near)


def test_a_long_recording_is_read_in_blocks_with_its_gaps(
    make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medray.modalities.signal.recordings.BLOCK", 777)
    values = np.arange(2 * 18_000, dtype=np.int16).reshape(2, -1) % 1000
    values[0, 12_345] = 9999
    gaps = [Segment(0.0, 100.0), Segment(200.0, 260.0)]
    truth = [recording("7", {RATE: values}, segments=gaps)]
    section = section_of(make_dataset, truth, [predicted("7", duration_s=460.0)])
    figure = section.figures[-1]
    assert isinstance(figure, Figure)
    line = figure.data["leads"][0]["lines"][0]
    assert len(line["high"]) == 1000
    assert int(np.nanargmax(line["high"])) == int((200 + (12_345 - 5000) / RATE) / 0.46)
    hole = np.flatnonzero(np.isnan(line["low"]))
    assert hole.min() * 0.46 == pytest.approx(100, abs=0.5)
    assert (hole.max() + 1) * 0.46 == pytest.approx(200, abs=0.5)
    assert line["low"][0] == 0


def test_what_meets_no_truth_of_its_class_is_wrong() -> None:
    truth = [(0.0, 2.0, "a"), (5.0, 6.0, "b")]
    found = [(1.0, 3.0, "a"), (2.0, 3.0, "a"), (5.5, 5.6, "a"), (5.9, 9.0, "b")]
    assert [tone for *_, tone in judged(found, truth)] == ["right", "wrong", "wrong", "right"]


def test_beats_have_no_such_section(make_dataset: Make) -> None:
    given = make_dataset("given", [Sample("b", {"predicted": "N"})])
    data = make_dataset("data", [Sample("b", {"label": "N"})])
    assert Signals().sections(given, data) == []
