"""What a page shows of a ranking: its first samples, drawn where a modality can."""

from collections.abc import Mapping, Sequence
from typing import Any

from medray.errors import SpecError
from medray.modalities import modality_of
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.models import open_model
from medray.tasks.metric import Metric
from medray.tasks.section import Picture, Section, Table

LISTED = 100
DRAWN = 12


def section_of(dataset: Dataset) -> Section:
    """The first rows of a ranking.

    Args:
        dataset: that a step of kind rank made.
    """
    how = dataset.attributes["ranked"]
    rows = dataset.samples.slice(0, LISTED).drop_columns(["_shard", "_row"]).to_pylist()
    kinds = {"int64": "count", "float": "number", "double": "number"}
    columns = {
        name: Metric(name, kind=kinds.get(kind, "text"))  # type: ignore[arg-type]
        for name, kind in dataset.manifest.columns.items()
        if not kind.startswith("list")
    }
    lead = f"The {how['best']} {how['by']} of {dataset.attributes['data'].partition('@')[0]}."
    note = f"All {len(dataset)} are in the dataset." if len(dataset) > len(rows) else ""
    return Section(
        title=f"Ranked: {dataset.name}",
        tables=[Table(columns, rows, lead=lead, note=note)],
        pictures=_pictures(dataset, rows[:DRAWN]),
    )


def _pictures(dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> list[Picture]:
    by = dataset.attributes["ranked"]["by"]
    drawings = _drawn(dataset, rows)
    panels = [
        (f"{row['rank']}: {row['sample_id']}, {row[by]:.4g}", drawing)
        for row, drawing in zip(rows, drawings, strict=True)
        if drawing is not None
    ]
    cases = [(str(row["sample_id"]), "") for row in rows]
    return [Picture("best", "the first ones", cases, panels=panels)] if panels else []


def _drawn(dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> Sequence[bytes | None]:
    """By the modality of a model that scored them; nothing where all of these are gone."""
    for reference in dataset.attributes["models"]:
        try:
            model = open_model(dataset.objects, reference)
        except SpecError:
            continue
        return modality_of(model.config["model"]).drawings(rows)
    return [None] * len(rows)
