import numpy as np
import pyarrow as pa
import pytest

from medray.formats.signal.rhythms import events_of, stretches_of
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.intervals import score_intervals, summarise_intervals
from medray.tasks.section import ScoredCases

CLASSES = ("N", "AFIB", "VT")


def test_intervals_are_held_against_each_other_by_overlap() -> None:
    truth = [(0.0, 10.0, "AFIB"), (20.0, 30.0, "AFIB"), (30.0, 40.0, "VT"), (40.0, 99.0, "N")]
    given = [(9.0, 12.0, "AFIB"), (30.0, 35.0, "AFIB"), (13.0, 14.0, "AFIB"), (50.0, 60.0, "N")]
    row = score_intervals(truth, given, CLASSES, 3600.0)
    assert row["true"] == [2, 1]
    assert row["found"] == [1, 0]  # what begins where another ends does not overlap it
    assert row["called"] == [3, 0]
    assert row["right"] == [1, 0]
    assert (row["true_s"], row["called_s"], row["both_s"]) == ([20.0, 10.0], [9.0, 0.0], [1.0, 0.0])


def test_overlaps_are_those_of_every_sample() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        sides = []
        for _ in range(2):
            cuts = np.unique(random.integers(0, 200, 16))
            cuts = cuts[: len(cuts) // 2 * 2].reshape(-1, 2)
            sides.append([(float(a), float(b), "AFIB") for a, b in cuts])
        row = score_intervals(*sides, CLASSES, 200.0)
        there = [np.zeros(200, bool), np.zeros(200, bool)]
        for side, mask in zip(sides, there, strict=True):
            for onset, end, _ in side:
                mask[int(onset) : int(end)] = True
        assert row["both_s"][0] == (there[0] & there[1]).sum()
        assert row["found"][0] == sum(there[1][int(a) : int(b)].any() for a, b, _ in sides[0])
        assert row["right"][0] == sum(there[0][int(a) : int(b)].any() for a, b, _ in sides[1])


def test_recordings_are_summed_up() -> None:
    truth = [(0.0, 600.0, "AFIB")]
    rows = [
        score_intervals(truth, [(0.0, 300.0, "AFIB"), (900.0, 960.0, "AFIB")], CLASSES, 1800.0),
        score_intervals(truth, None, CLASSES, 1800.0),
    ]
    cases = pa.Table.from_pylist([{"case": str(at), **row} for at, row in enumerate(rows)])
    summary = summarise_intervals(cases, CLASSES, Bootstrap(repeats=0))
    assert summary["counts"] == {"scored": 1, "no-prediction": 1}
    value = {name: one["value"] for name, one in summary["metrics"].items()}
    assert value["interval_sensitivity"] == 0.5
    assert value["interval_precision"] == 0.5
    assert value["time_f1"] == pytest.approx(2 * 300 / (1200 + 360))
    assert value["false_alarms_per_hour"] == 0.5  # the mean of AFIB's one and VT's none
    assert summary["classes"]["VT"]["interval_sensitivity"]["value"] is None


def annotation(
    onset: float, text: str, symbol: str = "", duration: float | None = None
) -> dict[str, object]:
    return {"onset_s": onset, "duration_s": duration, "text": text, "symbol": symbol}


def test_tagging_scores_recordings_by_their_rhythms() -> None:
    task = build_task({"name": "tagging", "classes": CLASSES})
    notes = [
        annotation(0, "(N", "+"),
        annotation(5, "", "N"),
        annotation(60, "(AFIB\0", "+"),
        annotation(90, "(B", "+"),
        annotation(100, "VT", duration=5.0),
    ]
    truth = Sample("a", {"annotations": notes, "duration_s": 120.0})
    called = [annotation(55, "AFIB", duration=10.0), annotation(101, "VT", duration=1.0)]
    (row,) = task.score(truth, Sample("a", {"annotations": called}))
    assert (row["found"], row["right"], row["true_s"]) == ([1, 1], [1, 1], [30.0, 5.0])
    (gone,) = task.score(truth, None)
    assert (gone["status"], gone["found"]) == ("no-prediction", [0, 0])
    cases = [{"case": "a", **row}]
    summary = task.conclude(pa.Table.from_pylist(cases), Bootstrap(repeats=0))
    assert summary["metrics"]["interval_sensitivity"]["value"] == 1.0
    section = task.section(ScoredCases("scores", summary, cases))
    assert "false alarms an hour" in [tile.metric.label for tile in section.tiles]
    # Of one recording nobody knows how recordings differ, so nothing is said of intervals.
    assert section.tables[0].lead == "Values over 1 cases."


def test_tasks_of_windows_score_recordings_by_rhythms_and_beats() -> None:
    notes = [
        annotation(0, "(N", "+"),
        annotation(5, "", "N"),
        annotation(20, "", "V"),
        annotation(22, "", "~"),
        annotation(40, "", "V"),
        annotation(60, "(AFIB\0", "+"),
    ]
    truth = Sample("a", {"annotations": notes, "duration_s": 120.0})
    by_class = build_task(
        {"name": "classification", "classes": ["N", "AFIB", "V"], "target": "label"}
    )
    called = [
        annotation(19, "V", duration=2.0),
        annotation(30, "V", duration=2.0),
        annotation(55, "AFIB", duration=10.0),
    ]
    (row,) = by_class.score(truth, Sample("a", {"annotations": called}))
    assert (row["true"], row["found"]) == ([1, 2], [1, 1])
    assert (row["called"], row["right"]) == ([1, 2], [1, 1])
    summary = by_class.conclude(pa.Table.from_pylist([{"case": "a", **row}]), Bootstrap(repeats=0))
    assert summary["task"] == "classification"
    assert summary["classes"]["V"]["interval_precision"]["value"] == 0.5
    surprise = [annotation(19, "anomaly", duration=2.0), annotation(70, "anomaly", duration=1.0)]
    for anomalous, found, right in ((["V"], [1], [1]), ([], [2], [2])):
        task = build_task({"name": "anomaly", "normal": ["N"], "anomalous": anomalous})
        (row,) = task.score(truth, Sample("a", {"annotations": surprise}))
        assert (row["found"], row["right"], row["called"]) == (found, right, [2])
        (gone,) = task.score(truth, None)
        assert (gone["status"], gone["found"]) == ("no-prediction", [0])


def test_a_beat_is_no_event_where_a_rhythm_has_its_name() -> None:
    beats = [annotation(30, "", "B"), annotation(31, "", "V")]
    rhythm = [annotation(0, "(N", "+"), annotation(10, "(B", "+")]
    alone, beside = (
        events_of({"annotations": notes, "duration_s": 60.0}) for notes in (beats, rhythm + beats)
    )
    assert alone == [(30, 30, "B"), (31, 31, "V")]
    assert beside == [(0, 10, "N"), (10, 60, "B"), (31, 31, "V")]


def test_what_is_annotated_beyond_a_recording_is_no_event() -> None:
    """WFDB keeps annotations wherever they are; what nobody could find counts for nobody."""
    notes = [
        annotation(-1, "", "V"),
        annotation(0, "(N", "+"),
        annotation(50, "(AFIB", "+"),
        annotation(58, "noise", duration=9),
        annotation(60, "", "V"),  # the first sample that is not there
        annotation(70, "(VT", "+"),
        annotation(80, "(N", "+"),
        annotation(90, "noise", duration=1),
    ]
    row = {"annotations": notes, "duration_s": 60.0}
    wanted = [(0, 50, "N"), (50, 60, "AFIB"), (58, 60, "noise")]
    assert events_of(row) == stretches_of(row) == wanted
    scores = score_intervals(stretches_of(row), wanted, CLASSES, 60.0)
    assert (scores["true"], scores["found"], scores["true_s"]) == ([1, 0], [1, 0], [10, 0])
