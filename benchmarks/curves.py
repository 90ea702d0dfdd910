"""The bars of learning curves; see quality.py."""

from collections.abc import Iterator
from pathlib import Path

from bars import Row, run

from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

CURVES = {"few-labels": ("auc", 0.02)}  # what the fewest labels gain by the second arm, on one set
LEAST = 0.0  # and on every other


def curves(job: str, root: Path) -> Iterator[Row]:
    """Rows of a job with learning curves: what arms gain over the first, by the fewest labels."""
    metric, least = CURVES[job]
    objects, found = Objects(str(root / "store")), {}
    steps = [step for step in run(job, root) if step["kind"] == "learning-curve"]
    for step in steps:
        curve = open_dataset(objects, step["output"]).attributes["curve"]
        first, *others = [row for row in curve if row["share"] == curve[0]["share"]]
        for row in others:
            name = (
                f"{step['output'].partition('@')[0]}: {metric} of {row['arm']} less {first['arm']}"
            )
            found[name] = row["less"][metric], first, row
    best = max(found, key=lambda name: found[name][0]["value"])
    for name, (less, first, row) in found.items():
        limit = least if name == best else LEAST
        yield Row(
            job,
            f"{name}, {row['labels']} labels",
            f"{less['value']:.4f}",
            f"{less['low']:.4f} to {less['high']:.4f}, n={less['subjects']} draws",
            f"≥ {limit:g}",
            less["value"] >= limit,
            baseline=f"{first['metrics'][metric]['value']:.4f}",
        )
