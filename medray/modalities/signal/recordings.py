"""Whole recordings on a page: alarms by the hour, and strips with what was called in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.signal.leads import Leads, channels_of
from medray.formats.signal.rhythms import Stretches, stretches_of
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import InShard, Stored
from medray.tasks.alarms import Watched, watched
from medray.tasks.base import Task
from medray.tasks.metrics.intervals import met
from medray.tasks.section import Figure, Picture, Section

COLUMNS = 1000  # of a line in a figure; of a longer one the lowest and highest of each are drawn
DRAWN = 2  # recordings: those with the most alarms an hour
LEADS = 2  # in a strip, the first of one rate
CLOSE_S = 10.0  # of the strip that shows one mistake
BLOCK = 2**18  # samples that are read at once

_UNMET = {"right": "plain", "wrong": "missed"}  # tones of what there is
Spans = list[tuple[float, float, str, str]]


def alarms_of(predictions: Dataset, data: Dataset) -> list[Section]:
    """The section on intervals that were called; none where answers are of beats and windows.

    Args:
        predictions: with `annotations`.
        data: the recordings.
    """
    if not {"annotations", "duration_s"} <= set(predictions.manifest.columns):
        return []
    wanted = ("sample_id", "record", "subject", "duration_s", "annotations")
    there = [one for one in wanted if one in predictions.manifest.columns]
    rows = [one for one in predictions.columns(there).to_pylist() if one["annotations"] is not None]
    told = [
        Watched(
            case=row["sample_id"],
            record=str(row.get("record") or row["sample_id"]),
            subject=str(row.get("subject") or row.get("record") or row["sample_id"]),
            hours=float(row["duration_s"]) / 3600,
            alarms=len(row["annotations"]),
        )
        for row in rows
    ]
    if not told:
        return []
    section = watched(f"Intervals: {predictions.name}", told)
    places, called = _places(data), {row["sample_id"]: row for row in rows}
    figures = list(section.figures)
    for one in sorted(told, key=lambda one: -one.alarms)[:DRAWN]:
        spans = _toned(stretches_of(called[one.case]), "plain")
        rows_of = [{"name": "answer", "spans": spans}]
        said = f"{one.alarms} intervals were called"
        title = f"Record {one.record}, whole"
        figures += _strip(title, said, _stored(data, places[one.case]), rows_of)
    return [Section(section.title, section.tiles, section.tables, figures)]


def traced(
    wanted: Sequence[Picture], task: Task, truth: Dataset, predictions: Dataset
) -> list[Figure]:
    """Of each case that a task asks for the whole recording, and its first mistake near by.

    Args:
        wanted: which cases, and what is said of them.
        task: whose first class is the background.
        truth: recordings with `annotations`.
        predictions: with `annotations`, of what was called.
    """
    places, answered = _places(truth), _places(predictions)
    figures: list[Figure] = []
    for picture in wanted:
        for case, words in picture.cases:
            stored = _stored(truth, places[case])
            there = _of(task.events(stored.row), task.classes)
            called: Stretches = []
            if case in answered:
                answer = _stored(predictions, answered[case]).row
                called = _of(stretches_of(stored.row | answer), task.classes)
            found, missed = judged(called, there), judged(there, called)
            rows = [
                {"name": "truth", "spans": [(*one[:3], _UNMET[one[3]]) for one in missed]},
                {"name": "answer", "spans": found},
            ]
            name = stored.row.get("record") or case
            said = f"{len(there)} intervals are annotated and {len(called)} called; {words}"
            figures += _strip(f"Record {name}, whole: {words}", said, stored, rows)
            figures += _near(str(name), stored, found, missed, rows)
    return figures


def judged(some: Stretches, others: Stretches) -> Spans:
    """Spans with their tone: right where they overlap another of the same class, else wrong."""
    toned: Spans = []
    for kind in dict.fromkeys(name for _, _, name in some):
        own = [(start, stop) for start, stop, name in some if name == kind]
        right = met(own, [(start, stop) for start, stop, name in others if name == kind])
        tones = np.where(right, "right", "wrong").tolist()
        toned += ((*one, kind, tone) for one, tone in zip(own, tones, strict=True))
    return sorted(toned)


def lines_of(values: np.ndarray, start_s: float, step_s: float, tone: str = "") -> dict[str, Any]:
    """A line as figures take it: the values (time,), or of many the range in each column."""
    low = high = values
    if len(values) > 2 * COLUMNS:
        starts = np.linspace(0, len(values), COLUMNS, endpoint=False).astype(int)
        low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
        step_s *= len(values) / COLUMNS
    return {"start_s": start_s, "step_s": step_s, "low": low, "high": high, "tone": tone}


def _near(
    name: str, stored: Stored, found: Spans, missed: Spans, rows: Sequence[Mapping[str, Any]]
) -> list[Figure]:
    """Some seconds about where the first mistake begins."""
    mistakes = [(*one[:3], "false alarm") for one in found if one[3] == "wrong"]
    mistakes += [(*one[:3], "missed") for one in missed if one[3] == "wrong"]
    if not mistakes:
        return []
    start, _, kind, what = min(mistakes)
    seconds = float(stored.row["duration_s"])
    first = min(max(0.0, start - CLOSE_S / 3), max(0.0, seconds - CLOSE_S))
    title = f"Record {name}, {what}: {kind} from {start:.1f} s"
    return _strip(title, "", stored, rows, (first, min(CLOSE_S, seconds)))


def _strip(
    title: str,
    said: str,
    stored: Stored,
    rows: Sequence[Mapping[str, Any]],
    span: tuple[float, float] | None = None,
) -> list[Figure]:
    """A figure of a recording, from a second on and so many long; without them all of it."""
    start, seconds = span or (0.0, float(stored.row["duration_s"]))
    if seconds <= 0:
        return []
    try:
        channels = channels_of(stored.row)
        leads = Leads(stored, [one for one in channels if one.rate == channels[0].rate][:LEADS])
    except (DataError, IndexError):
        return []
    lines = _lines(leads, start, seconds)
    shown = [
        {"name": channel.name, "unit": channel.unit, "lines": [line]}
        for channel, line in zip(leads.channels, lines, strict=True)
    ]
    named = rows if span is None else [_marked(row, start, start + seconds) for row in rows]
    data = {"said": said, "start_s": start, "seconds": seconds, "leads": shown, "rows": named}
    return [Figure("trace", title, data)]


def _marked(row: Mapping[str, Any], first: float, last: float) -> dict[str, Any]:
    """What of a row lies in a short strip, which has room to name what is of no length: beats."""
    there = [one for one in row["spans"] if one[0] <= last and one[1] >= first]
    spans = [one for one in there if one[0] < one[1]]
    marks = [(start, name, tone) for start, stop, name, tone in there if start == stop]
    return {**row, "spans": spans, "marks": marks}


def _lines(leads: Leads, start_s: float, seconds: float) -> list[dict[str, Any]]:
    """Each lead's line over some seconds of a recording, read in blocks."""
    rate = leads.rate
    size = max(1, round(seconds * rate))
    many = size if size <= 2 * COLUMNS else COLUMNS
    low = np.full((len(leads.channels), many), np.nan, np.float32)
    high = low.copy()
    for stretch in leads.stretches:
        first = max(0, round((start_s - stretch.onset_s) * rate))
        stop = min(stretch.size, round((start_s + seconds - stretch.onset_s) * rate))
        for begin in range(first, stop, BLOCK):
            end = min(begin + BLOCK, stop)
            values = leads.physical(leads.fresh(stretch, begin, end))
            place = stretch.onset_s - start_s + np.arange(begin, end) / rate
            of = np.clip((place / seconds * many + 1e-6).astype(int), 0, many - 1)
            cuts = np.concatenate([[0], np.flatnonzero(np.diff(of)) + 1])
            at = of[cuts]
            low[:, at] = np.fmin(low[:, at], np.fmin.reduceat(values, cuts, axis=1))
            high[:, at] = np.fmax(high[:, at], np.fmax.reduceat(values, cuts, axis=1))
    return [
        {**lines_of(low[row], start_s, seconds / many), "high": high[row]}
        for row in range(len(low))
    ]


def _of(stretches: Stretches, classes: Sequence[str]) -> Stretches:
    return [one for one in stretches if one[2] in classes[1:]]


def _toned(stretches: Stretches, tone: str) -> Spans:
    return [(*one, tone) for one in stretches]


def _places(dataset: Dataset) -> dict[str, int]:
    ids = dataset.columns(["sample_id"])["sample_id"].to_pylist()
    return {name: at for at, name in enumerate(ids)}


def _stored(dataset: Dataset, at: int) -> Stored:
    shard, row = dataset.place(at)
    return InShard(dataset.shards[shard], row)
