"""What can be chosen of a detection, and what of a row is the truth."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.imaging.objects import boxes_of, objects_of
from medray.tasks.base import TaskOptions
from medray.tasks.detection.merging import Merge
from medray.tasks.metrics.detection import CROWD, IGNORED


class DetectionOptions(TaskOptions):
    """What can be chosen."""

    classes: tuple[str, ...] = Field(min_length=1, description="of objects")
    box_weight: float = Field(5, ge=0, description="of the boxes' loss beside the centres'")
    least_score: float = Field(0.05, gt=0, lt=1, description="of an object that is answered")
    most: int = Field(100, ge=1, description="objects of a class in an image")
    merge: Merge = Field(
        "nms", description="of boxes that mean the same; weighted: their edges' mean, by scores"
    )
    merge_overlap: float = Field(
        0.5, gt=0, le=1, description="intersection over union of boxes that mean the same"
    )
    called_at: Literal["validation"] | tuple[float, ...] = Field(
        "validation",
        description="score of each class from which on an object is called, in answers and on "
        "pages; validation: those of the highest F1 there",
    )
    froc_overlap: float = Field(
        0.1, gt=0, le=1, description="intersection over union of a hit in FROC"
    )
    sizes: tuple[float, float] = Field(
        (32, 96), description="mean side up to which an object is small, and medium"
    )
    size_unit: Literal["voxel", "mm"] = Field("voxel", description="of `sizes`")

    def calls_at(self, kind: int) -> float:
        """Score from which on an object of a class is called; a half, where nothing has chosen."""
        return 0.5 if isinstance(self.called_at, str) else self.called_at[kind]


def boxes(row: Mapping[str, Any], classes: tuple[str, ...], axes: int) -> np.ndarray:
    """The truth of a row, float32 (objects, 2 * axes + 2): begin, end, class, and 0 or why it need
    not be found (medray.tasks.metrics.detection).

    Raises:
        DataError: see `objects_of`; or an object is of a class that is not named
            ("unknown-class"), or of other axes ("bad-objects").
    """
    objects = objects_of(row)
    kinds = {name: number for number, name in enumerate(classes)}
    if not all(one.kind in kinds for one in objects):
        raise DataError(
            "an object is of a class that the task does not name",
            code="unknown-class",
            hint="list every class in the task",
        )
    if not all(len(one.begin) == axes for one in objects):
        raise DataError(f"a box is not of {axes} axes", code="bad-objects")
    flags = [CROWD if one.crowd else IGNORED * one.difficult for one in objects]
    told = np.array([(kinds[one.kind], flag) for one, flag in zip(objects, flags, strict=True)])
    return np.concatenate([boxes_of(objects, axes), told.reshape(-1, 2)], 1).astype(np.float32)
