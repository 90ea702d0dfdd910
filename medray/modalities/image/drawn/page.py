"""What a page shows of drawn images."""

from typing import Any

import numpy as np

from medray.modalities.image.pages import pictured
from medray.storage.catalog.datasets import Dataset
from medray.tasks.metric import Metric
from medray.tasks.section import CASE, Picture, Section, Table, Tile

METRICS = {
    "fid": Metric("Fréchet distance (FID)", higher_is_better=False, headline=True),
    "kid": Metric("kernel distance (KID)", higher_is_better=False, digits=4, headline=True),
    "diversity": Metric("distance between two, of that between real ones", headline=True),
    "nearest": Metric("distance to the nearest learnt", headline=True),
    "copies": Metric("nearer than 1 % of the held out are", higher_is_better=False, headline=True),
}
"""Those of `appraise`; a name with `_held_out` is that of images held out of the training."""
SHOWN = 16
SYNTHETIC = "These images are synthetic: they are of nobody, and prove nothing of anybody."
DEFINITIONS = (
    (
        "Copies: images are compared as means of normalised intensities over 16 places along each "
        "axis, 8 of volumes. Of held out images, 1 % lie nearer to a learnt one than some "
        "distance; the share of drawn ones that do is shown, and is 1 % where nothing is copied."
    ),
    (
        "FID and KID are distances of features of the named model. They are not comparable with "
        "those of other models, nor with published ones."
    ),
)


def section(drawn: Dataset, summary: dict[str, Any]) -> Section:
    """See Generation.section."""
    metrics = summary["metrics"]
    tiles = [
        Tile(metric, metrics[name], beside=_beside(metrics, name))
        for name, metric in METRICS.items()
        if name in metrics
    ]
    counts = [{"class": name, "images": count} for name, count in summary["classes"].items()]
    every = np.linspace(0, len(drawn) - 1, min(SHOWN, len(drawn))).round().astype(int).tolist()
    ids = drawn.columns(["sample_id"])["sample_id"]
    cases = [(str(ids[at]), "synthetic") for at in every]
    closest = Table(
        {
            "case": CASE["case"],
            "learnt": Metric("nearest learnt", kind="id"),
            "distance": Metric("distance", higher_is_better=False, digits=4),
        },
        summary["closest"],
        title="Closest to what was learnt",
    )
    notes = [SYNTHETIC]
    notes += [f"Features are those of {summary['features']}."] if summary["features"] else []
    return Section(
        title=f"Synthetic images: {drawn.name}",
        tiles=tiles,
        tables=[Table({"class": CASE["class"], "images": Metric("images", kind="count")}, counts)],
        pictures=[pictured(Picture("drawn", "some of the images", cases), drawn)],
        notes=notes,
        listings=[closest],
        definitions=DEFINITIONS,
        cautions=summary["cautions"],
    )


def _beside(metrics: dict[str, float], name: str) -> dict[str, float]:
    held = metrics.get(f"{name}_held_out")
    return {} if held is None else {"held out": held}
