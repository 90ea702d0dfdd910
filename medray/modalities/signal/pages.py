"""Figures of cases for a page: the signal, the truth and the answer above it, mistakes marked."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.modalities.signal.around import SECONDS, Around, Cut, Strip
from medray.modalities.signal.recordings import judged, lines_of, traced
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import InShard, Stored
from medray.tasks.base import NO_LABEL, Task, whole
from medray.tasks.section import Figure, Picture, Verdict

TINTED_S = 0.3  # to either side of the beat that a figure is of
NAMED = 12  # letters of a class above a beat
LETTER_S = 0.07  # of a name above a strip of eight seconds

Marks = list[tuple[float, str, str]]


def traces(
    wanted: Sequence[Picture], task: Task, truth: Dataset, predictions: Dataset
) -> list[Figure]:
    """A figure of each case that a task asks for.

    Args:
        wanted: which cases, and what is said of them.
        task: a sample as a whole, or each of its samples of time; of these the first class is not
            drawn.
        truth: with signals, and labels where the task is of samples of time.
        predictions: with answers.
    """
    if not any(picture.cases for picture in wanted):
        return []
    places, answered = (
        {name: at for at, name in enumerate(data.columns(["sample_id"])["sample_id"].to_pylist())}
        for data in (truth, predictions)
    )
    first = next(case for picture in wanted for case, _ in picture.cases)
    if "signal" not in _stored(truth, places[first]).names:  # recordings
        return traced(wanted, task, truth, predictions)
    around = Around(truth)

    def answer(name: str) -> Stored | None:
        return _stored(predictions, answered[name]) if name in answered else None

    figures = []
    for picture in wanted:
        for case, words in picture.cases:
            try:
                strip = around.strip(places[case])
            except DataError:  # its numbers can't be made physical
                continue
            said = words or f"{picture.title}, {picture.caption}"
            title = " · ".join(filter(None, (said, _of(strip), case)))
            if task.answers == "place":
                figures.append(_along(title, strip, task, answer(case)))
            else:
                figures.append(_beats(title, strip, task, answer))
    return figures


def _of(strip: Strip) -> str:
    row = strip.cuts[strip.case].stored.row
    return f"record {row['record']}" if row.get("record") else ""


def _beats(title: str, strip: Strip, task: Task, answer: Any) -> Figure:
    """Beats, or windows, with the class of each above it; the case's record's median beneath."""
    verdicts = [_verdict(task, cut, answer(cut.stored.id)) for cut in strip.cuts]
    told = [(cut, one) for cut, one in zip(strip.cuts, verdicts, strict=True) if one]
    rows = [
        _named("truth", [(cut.mark_s, one.truth[:NAMED], "plain") for cut, one in told]),
        _named(
            "answer",
            [
                (cut.mark_s, one.answer[:NAMED], "wrong" if one.wrong else "plain")
                for cut, one in told
            ],
        ),
    ]
    own = strip.cuts[strip.case]
    verdict = verdicts[strip.case]
    tone = "wrong" if verdict is not None and verdict.wrong else "beside"
    band = (max(own.start_s, own.mark_s - TINTED_S), min(own.stop_s, own.mark_s + TINTED_S), tone)
    wrong = [
        f"{one.truth} answered as {one.answer} at {cut.mark_s:.1f} s"
        for cut, one in told
        if one.wrong
    ]
    leads = _leads(strip)
    beside = _median(strip, own)
    for lead, line in zip(leads, beside, strict=False):
        lead["lines"].append(line)
    said = f"{_seconds(strip)}, {len(strip.cuts)} samples; " + ("; ".join(wrong) or "none wrong")
    if beside:
        said += "; the median of the record is drawn over the case"
    return _figure(title, said, strip, leads, rows, [band])


def _named(name: str, marks: Marks) -> dict[str, Any]:
    """A row of names; where they would lie on each other, as those of windows at a short step do,
    of spans: of each sample the time that is nearest to it, alike ones on end as one."""
    pairs = list(pairwise(marks))
    if all(b[0] - a[0] > LETTER_S * (len(a[1]) + len(b[1])) / 2 for a, b in pairs):
        return {"name": name, "marks": marks}
    half = min(b[0] - a[0] for a, b in pairs) / 2
    spans: list[tuple[float, float, str, str]] = []
    for at, text, tone in marks:
        before = spans[-1] if spans else None
        if before is not None and before[2:] == (text, tone) and at - half - before[1] < half:
            spans[-1] = (before[0], at + half, text, tone)
        else:
            spans.append((at - half, at + half, text, tone))
    return {"name": name, "spans": [one for one in spans if one[2]]}


def _along(title: str, strip: Strip, task: Task, answer: Stored | None) -> Figure:
    """A window, with the stretches that are of a class, and that were answered so."""
    own = strip.cuts[strip.case]
    truth = np.asarray(own.stored.array("label")[...])
    spans = _spans(truth, task.classes, strip)
    rows = [{"name": "truth", "spans": [(*one, "plain") for one in spans]}]
    said = f"{_seconds(strip)}; truth: {_listed(spans)}"
    if answer is not None:
        probability = whole(task.given(answer), "probability")
        called = np.where(truth == NO_LABEL, NO_LABEL, probability.argmax(0))
        found = _spans(called, task.classes, strip)
        rows.append({"name": "answer", "spans": judged(found, spans)})
        said += f"; answer: {_listed(found)}"
    return _figure(title, said, strip, _leads(strip), rows, [])


def _leads(strip: Strip) -> list[dict[str, Any]]:
    return [
        {"name": name, "unit": unit, "lines": [lines_of(values, strip.start_s, 1 / strip.rate)]}
        for name, unit, values in zip(strip.leads, strip.units, strip.values, strict=False)
    ]


def _median(strip: Strip, own: Cut) -> list[dict[str, Any]]:
    """The case's context, by lead."""
    if "context" not in own.stored.names:
        return []
    context = np.asarray(own.stored.array("context")[...], np.float32)[: len(strip.values)]
    return [lines_of(values, own.start_s, 1 / strip.rate, "beside") for values in context]


def _spans(
    labels: np.ndarray, classes: Sequence[str], strip: Strip
) -> list[tuple[float, float, str]]:
    """Stretches of each class but the first, in seconds."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1, [len(labels)]]).tolist()
    zero = strip.cuts[strip.case].start_s
    return [
        (zero + start / strip.rate, zero + stop / strip.rate, classes[kind])
        for start, stop in pairwise(starts)
        if start < stop
        for kind in [int(labels[start])]
        if 0 < kind < len(classes)
    ]


def _verdict(task: Task, cut: Cut, answer: Stored | None) -> Verdict | None:
    return task.verdict(cut.stored.row, None if answer is None else answer.row)


def _listed(spans: Sequence[tuple[float, float, str]]) -> str:
    told = [f"{name} from {start:.1f} to {stop:.1f} s" for start, stop, name in spans[:20]]
    return ", ".join(told) or "nothing"


def _seconds(strip: Strip) -> str:
    return f"{strip.values.shape[1] / strip.rate:.1f} s of {', '.join(strip.leads)}"


def _figure(
    title: str,
    said: str,
    strip: Strip,
    leads: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    bands: Sequence[tuple[float, float, str]],
) -> Figure:
    start, seconds = strip.start_s, strip.values.shape[1] / strip.rate
    if seconds <= 2 * SECONDS + 1:  # all at one scale, the case in the middle
        own = strip.cuts[strip.case]
        start, seconds = (own.start_s + own.stop_s) / 2 - SECONDS, 2 * SECONDS
    beside = "median of the record" if len(leads[0]["lines"]) > 1 else ""
    data = {"said": said, "start_s": start, "seconds": seconds, "leads": leads, "beside": beside}
    return Figure("trace", title, {**data, "rows": rows, "bands": bands})


def _stored(dataset: Dataset, at: int) -> Stored:
    shard, row = dataset.place(at)
    return InShard(dataset.shards[shard], row)
