"""The numbers behind a page as a table, for those who compare runs."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

from medray.report.content import Report, Scores, Training

_PLACES = ("epoch", "step", "seconds")  # of a row of a training's history


def metrics_table(report: Report) -> bytes:
    """Every metric of a report as Parquet, a row each.

    Columns: `output` is what the metric is of (a model, or scores), `class` the class it is of
    (empty: over all classes), `metric` its name, `step` that of a training after which it was taken
    (null: of the whole), then `value`, the bounds `low` and `high` of its 95 % interval, and the
    number of `cases` that define it, null where there are none. Behind an interval stand at least
    5 independent `subjects`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("output", pa.string()),
            ("class", pa.string()),
            ("metric", pa.string()),
            ("step", pa.int64()),
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("cases", pa.int64()),
            ("subjects", pa.int64()),
        ]
    )
    rows = [row for training in report.trainings for row in _of_training(training)]
    rows += [row for scores in report.scores for row in _of_scores(scores)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
    return buffer.getvalue()


def _of_training(training: Training) -> Iterator[dict[str, Any]]:
    for row in training.history:
        for metric, value in row.items():
            if metric not in _PLACES and value is not None:
                yield {
                    "output": training.model,
                    "class": "",
                    "metric": metric,
                    "step": row.get("step"),
                    "value": value,
                }


def _of_scores(scores: Scores) -> Iterator[dict[str, Any]]:
    classes = scores.summary.get("classes", {})
    for name, found in [("", scores.summary["metrics"]), *classes.items()]:
        for metric, estimate in found.items():
            if isinstance(estimate, Mapping) and "value" in estimate:
                keys = ("value", "low", "high", "cases", "subjects")
                bounds = {key: estimate.get(key) for key in keys}
                yield {"output": scores.name, "class": name, "metric": metric, **bounds}
