"""How tasks judge what was called along whole recordings: by events, in the same way for each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from medray.formats.signal.rhythms import Stretches, stretches_of
from medray.storage.shards.holds import Names, names
from medray.storage.shards.samples import Sample
from medray.tasks.alarms import recorded
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.intervals import OF_INTERVALS, score_intervals, summarise_intervals
from medray.tasks.section import ScoredCases, Section

INSTEAD: Names = names("annotations", "duration_s")  # of a target: columns of a recording
METRICS: Mapping[str, Metric] = {
    "interval_sensitivity": Metric("true intervals found", headline=True),
    "interval_precision": Metric("called intervals right (+P)", headline=True),
    "time_f1": Metric("F1 by time", headline=True),
    "false_alarms_per_hour": Metric(
        "false alarms an hour", higher_is_better=False, digits=2, headline=True
    ),
}


def along(truth: Sample, target: str) -> bool:
    """Whether a case is a recording, which has annotations and no target of its own.

    Args:
        truth: of the case.
        target: an array or a column.
    """
    there = target in truth.arrays or truth.row.get(target) is not None
    return not there and set(truth.row) >= INSTEAD


def score_along(
    truth: Sample, prediction: Sample | None, events: Stretches, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One row; see medray.tasks.metrics.intervals.

    Args:
        truth: a recording.
        prediction: with what was called in `annotations`; None: there is none.
        events: that there are, by the names of the classes.
        classes: of the task; the first is the background.
    """
    told = None if prediction is None else stretches_of(truth.row | prediction.row)
    return [score_intervals(events, told, classes, float(truth.row["duration_s"]))]


def conclude_along(
    task: str, cases: pa.Table, classes: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Any] | None:
    """The summary of rows of `score_along`; None: they are of other cases."""
    if OF_INTERVALS not in cases.column_names:
        return None
    return {"task": task, **summarise_intervals(cases, classes, bootstrap)}


def section_along(section: Section, scores: ScoredCases) -> Section:
    """A page's section with what is told of recordings.

    Args:
        section: of the metrics.
        scores: rows of `score_along`.
    """
    meant = (
        "A true interval is found where one of its class is called over any of it; a called one "
        "is right where any of it is true, else a false alarm. A beat is an interval of no length."
    )
    told, pictures = recorded(scores.cases)
    return replace(
        section,
        tables=[*section.tables, *told.tables],
        figures=told.figures,
        pictures=pictures,
        definitions=[meant],
    )
