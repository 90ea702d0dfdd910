"""What a page shows of scores beside the task's own: how far off answers are, by scaffold."""

from statistics import fmean

from medray.errors import DataError
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task
from medray.tasks.metric import Metric
from medray.tasks.section import Table

COLUMN = "scaffold"
SHOWN = 15  # scaffolds
MOST = 20_000  # predictions that are looked at


def by_scaffold(task: Task, truth: Dataset, predictions: Dataset) -> list[Table]:
    """The scaffolds of most compounds, with the mean error of each; nothing where no two share one.

    Args:
        task: says how far off an answer is.
        truth: with the column `scaffold`, or not.
        predictions: of its samples.
    """
    if COLUMN not in truth.manifest.columns:
        return []
    rows = {row["sample_id"]: row for row in truth.samples.to_pylist()}
    errors: dict[str, list[float]] = {}
    for answer in predictions.samples.slice(0, MOST).to_pylist():
        row = rows.get(answer["sample_id"])
        if row is None or not row[COLUMN]:
            continue
        try:
            scored = task.score(Sample(answer["sample_id"], row), Sample("", answer))
        except DataError:  # without a truth
            continue
        found = [one["error"] for one in scored if one.get("error") is not None]
        errors.setdefault(row[COLUMN], []).extend(found)
    ranked = sorted(errors.items(), key=lambda item: (-len(item[1]), item[0]))
    shared = [(name, found) for name, found in ranked if len(found) > 1]
    if not shared:
        return []
    rest = [one for name, found in ranked if (name, found) not in shared[:SHOWN] for one in found]
    columns = {
        COLUMN: Metric("scaffold", kind="text"),
        "cases": Metric("cases", kind="count"),
        "error": Metric("mean error", higher_is_better=False),
    }
    listed = [(name, found) for name, found in shared[:SHOWN]]
    listed += [("all others", rest)] if rest else []
    made = [{COLUMN: name, "cases": len(of), "error": fmean(of)} for name, of in listed]
    note = f"{len(ranked)} scaffolds in all, {len(ranked) - len(shared)} of them of one compound."
    return [Table(columns, made, title="By scaffold", note=note)]
