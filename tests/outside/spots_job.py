"""A job on spots: every kind of step, by plugins from outside wherever there is a choice."""

from pathlib import Path
from typing import Any

SAMPLES = 120
RADIUS = 1.8
MEDIA = "application/x-spots+json"


def ingest(files: Path) -> dict[str, Any]:
    """All files, one of which is broken, in units of 40."""
    return {
        "kind": "ingest",
        "format": {"name": "spots"},
        "source": str(files),
        "output": "spots",
        "split": {"train": 0.6, "val": 0.2, "test": 0.2},
        "policy": {"error_budget": 0.1},
    }


def job(files: Path, out: Path, workers: int = 1) -> list[dict[str, Any]]:
    """From files to files: near points of all, learnt from and judged."""
    near = {"name": "near", "radius": RADIUS}
    return [
        ingest(files),
        {"kind": "transform", "data": "spots", "operation": near, "output": "near"}
        | {"policy": {"error_budget": 0.1}},
        {
            "kind": "train",
            "data": "near",
            "task": {"name": "weigh"},
            "model": {"name": "spotnet", "width": 6},
            "train": {
                "objective": {"name": "mirrored", "weight": 0.5},
                "epochs": 3,
                "steps_per_epoch": 6,
                "accumulate": 2,
                "workers": workers,
                "precision": "fp32",
            },
            "output": "weigher",
        },
        {"kind": "predict", "data": "near", "model": "weigher", "output": "weighed"}
        | {"select": {"split": "test"}},
        {"kind": "evaluate", "data": "near", "predictions": "weighed", "output": "scores"},
        {"kind": "export", "data": "near", "format": {"name": "spots"}, "to": str(out)}
        | {"select": {"split": "test"}, "output": "files"},
    ]
