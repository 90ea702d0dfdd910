"""What training and prediction need to know of slides, and what a job may fix of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from medray.errors import SpecError
from medray.modalities.plan import Augment, Plan, PlanOptions, Wanted, planned_fields

if TYPE_CHECKING:
    from medray.tasks.base import Task

SLIDES = 4  # in a step at most, unless the job says
MOST_TILES = 64
LIKE = 0.05  # by which resolutions may differ and still count as one


class SlidePlan(Plan):
    """The plan of a training on slides."""

    modality: Literal["slide"] = "slide"
    tile: int = Field(description="pixels along a tile's side")
    mpp: float = Field(description="micrometres a pixel of tiles")
    mean: tuple[float, float, float] = Field(description="of each colour, over all tiles")
    std: tuple[float, float, float] = Field(description="of each colour, over all tiles")
    most_tiles: int = Field(description="of a slide in a step of training")


class SlidePlanOptions(PlanOptions):
    """What a job may fix of the plan."""

    most_tiles: int | None = Field(
        None, ge=1, description="of a slide in a step, drawn anew each time; null: 64"
    )


class SlideAugment(Augment):
    """Augmentation of tiles."""

    turn: bool = Field(True, description="each tile by quarter turns, and mirrored, at random")
    colour: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="factor of each colour, uniform in 1 ±, one for all of a slide",
    )


def make_plan(
    rows: Sequence[Mapping[str, Any]], task: "Task", wanted: Wanted, frequencies: tuple[float, ...]
) -> SlidePlan:
    """Plan a training.

    Args:
        rows: of the training samples.
        task: what is learnt.
        wanted: by the job.
        frequencies: of the classes.

    Raises:
        SpecError: tiles are of several sizes ("mixed-tiles") or resolutions ("mixed-mpp").
    """
    sides = {int(row["tile"]) for row in rows}
    if len(sides) > 1:
        raise SpecError(
            f"tiles of {len(sides)} sizes", code="mixed-tiles", hint="ingest all slides alike"
        )
    mpp = np.array([float(row["mpp"]) for row in rows])
    middle = float(np.median(mpp))
    if not (np.abs(mpp - middle) <= LIKE * middle).all():
        raise SpecError(
            f"tiles have {mpp.min():.3g} to {mpp.max():.3g} micrometres a pixel",
            code="mixed-mpp",
            hint="ingest all slides with one `mpp`",
        )
    weights = np.array([float(row["tiles"]) for row in rows])
    weights /= weights.sum()
    means, stds = (np.array([row[n] for row in rows]) for n in ("tile_mean", "tile_std"))
    mean = weights @ means
    std = np.sqrt(weights @ (stds**2 + (means - mean) ** 2))
    found = {
        "answers": task.answers,
        "classes": task.classes,
        "frequencies": frequencies,
        "batch_size": wanted.settings.batch_size or max(2, min(SLIDES, len(rows) // 10)),
        "samples": len(rows),
        "tile": sides.pop(),
        "mpp": middle,
        "mean": tuple(mean.tolist()),
        "std": tuple(np.maximum(std, 1e-3).tolist()),
        "most_tiles": MOST_TILES,
    }
    reasons = {
        "batch_size": f"at most {SLIDES} and a tenth of the samples",
        "most_tiles": "more tiles of a slide tell little more in one step",
    }
    return planned_fields(SlidePlan, wanted.given, found, reasons)
