"""What a page shows of images that were ingested: some of them, and how large and fine they are."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from medray.modalities.image.overlay import draw_overlay, encode_png, flips
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import InShard
from medray.tasks.metric import Metric
from medray.tasks.section import Figure, Picture, Section, Table, Tile

THUMBNAILS = 12
WIDTH = 160
LARGEST = 2**26  # bytes of a picture without a z axis that is read for its thumbnail
BINS = 20


def section(dataset: Dataset) -> Section | None:
    """The section of a dataset with images; None where it has none.

    Pictures are of samples evenly spaced in the plan's order, and of a volume of its middle slice.
    """
    if "image" not in dataset.manifest.arrays or not len(dataset):
        return None
    known = [name for name in ("modality", "spacing_mm") if name in dataset.manifest.columns]
    table = dataset.columns(["sample_id", *known])
    spacings = _lists(table, "spacing_mm") if "spacing_mm" in known else []
    tables = [_modalities(table["modality"].to_pylist())] if "modality" in known else []
    return Section(
        title=f"Images of {dataset.name}",
        tiles=[Tile(Metric("images", kind="count"), len(dataset))],
        tables=tables,
        figures=[
            *_figures("Spacing", "coarsest axis, mm", [max(one) for one in spacings]),
            *_figures("Spacing in the plane", "finest axis, mm", [min(one) for one in spacings]),
            *_sizes(dataset),
        ],
        pictures=_thumbnails(dataset),
    )


def _lists(table: Any, name: str) -> list[list[float]]:
    return [one for one in table[name].to_pylist() if one]


def _modalities(values: Sequence[Any]) -> Table:
    counts = Counter(str(one or "not known") for one in values)
    columns = {"modality": Metric("modality", kind="text"), "count": Metric("images", kind="count")}
    rows = [{"modality": name, "count": count} for name, count in counts.most_common()]
    return Table(columns, rows, title="Modalities")


def _figures(title: str, label: str, values: Sequence[float]) -> list[Figure]:
    """A histogram, where values differ."""
    found = np.asarray(values, np.float64)
    found = found[np.isfinite(found)]
    if len(found) < 2 or np.ptp(found) == 0:
        return []
    counts, edges = np.histogram(found, BINS)
    data = {"label": label, "low": edges[0], "high": edges[-1], "counts": counts.tolist()}
    return [Figure("histogram", title, data)]


def _sizes(dataset: Dataset) -> list[Figure]:
    """Voxels of images, of as many as a page can ask for."""
    every = max(1, len(dataset) // 200)
    sizes = []
    for index in range(0, len(dataset), every):
        shard, row = dataset.place(index)
        if "image" in dataset.shards[shard].names(row):
            sizes.append(math.prod(dataset.shards[shard].array(row, "image").shape[1:]))
    return _figures("Size", "voxels, log10", np.log10(np.maximum(sizes, 1)).tolist())


def _thumbnails(dataset: Dataset) -> list[Picture]:
    count = min(THUMBNAILS, len(dataset))
    panels = []
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
        shard, row = dataset.place(index)
        stored = InShard(dataset.shards[shard], row)
        if "image" not in stored.names:
            continue
        image = stored.array("image")
        rows_mm, columns_mm = (stored.row.get("spacing_mm") or [1.0, 1.0])[-2:]
        turn = (False, False)
        if len(image.shape) == 4:
            middle = image.shape[1] // 2
            pixels = image[slice(0, 1), slice(middle, middle + 1)][0, 0]
            turn = flips(stored.row.get("affine"))
        elif math.prod(image.shape) * image.dtype.itemsize <= LARGEST:
            whole = image[...]
            colour = whole.shape[0] == 3 and whole.dtype == np.uint8
            pixels = np.moveaxis(whole, 0, -1) if colour else whole[0]
        else:
            continue
        how: dict[str, Any] = {"spacing_mm": (rows_mm, columns_mm), "turn": turn, "width": WIDTH}
        panels.append((stored.id, encode_png(draw_overlay(pixels, None, **how))))
    if not panels:
        return []
    return [Picture("some", "evenly spaced in the order of ingest", [("", "")] * 2, panels=panels)]
