"""Masks to objects: every connected part of a class becomes a box."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy import ndimage

from medray.errors import DataError
from medray.formats.imaging.objects import CLIPPED, OBJECTS, Object
from medray.formats.imaging.values import columns
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.forms.ome import IMAGE
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Sliceable, Stored


class MaskObjectsOptions(TransformOptions):
    """Which parts are objects."""

    classes: tuple[str, ...] = Field(min_length=1, description="of labels 1, 2, …")
    min_voxels: int = Field(1, ge=1, description="parts below this are no objects")
    difficult_below: int = Field(
        0, ge=0, description="parts of fewer voxels are difficult: they need not be found"
    )
    instances: bool = Field(
        False, description="labels number objects of the one class, which may touch"
    )


class MaskObjects(Transformation):
    """An image with a mask to the image with the boxes of the mask's parts.

    Parts are connected over faces, edges and corners (26 neighbours in 3-D, 8 in 2-D), class by
    class. The image stays as it is; the mask goes.
    """

    name: ClassVar[str] = "mask-objects"
    Options: ClassVar[type[TransformOptions]] = MaskObjectsOptions
    options: MaskObjectsOptions

    @classmethod
    def needs(cls, options: MaskObjectsOptions, role: str = "") -> Needs:
        """Images with masks."""
        return Needs((names("image"), names("label")), hint="ingest images with masks")

    @classmethod
    def arrays(cls, options: MaskObjectsOptions, using: frozenset[str]) -> Arrays:
        """The image."""
        return {"image": IMAGE}

    @classmethod
    def holds(cls, options: MaskObjectsOptions, using: frozenset[str]) -> Holds:
        """Images with objects."""
        return Holds(named(cls.arrays(options, using)), columns(OBJECTS, CLIPPED, "split"))

    def apply(self, sample: Stored) -> Iterator[Sample | Refusal]:
        """The image with its objects.

        Raises:
            DataError: it has no mask ("no-label"), or one of classes that the options do not name
                ("unknown-label").
        """
        if "label" not in sample.names:
            raise DataError("the sample has no mask", code="no-label", about=sample.id)
        label: np.ndarray = np.asarray(sample.array("label")[...])
        dropped = ("foreground_", "label_")
        row: dict[str, Any] = {
            name: value for name, value in sample.row.items() if not name.startswith(dropped)
        }
        row |= {OBJECTS: [one.told for one in self._objects(label)], CLIPPED: 0}
        image = sample.array("image")
        yield Sample(sample.id, row, {"image": _slabs(image)})

    def _objects(self, label: np.ndarray) -> list[Object]:
        options, highest = self.options, int(label.max(initial=0))
        if options.instances:
            return self._parts(label.astype(np.int32), options.classes[0])
        if highest > len(options.classes):
            raise DataError(
                f"the mask holds class {highest} of {len(options.classes)}",
                code="unknown-label",
                hint="name every class of the mask in `classes`",
            )
        neighbours = np.ones((3,) * label.ndim, bool)
        made = []
        for number, kind in enumerate(options.classes[:highest], start=1):
            parts, _ = ndimage.label(label == number, structure=neighbours)
            made += self._parts(parts, kind)
        return made

    def _parts(self, parts: np.ndarray, kind: str) -> list[Object]:
        sizes = np.bincount(parts.ravel())
        return [
            Object(
                kind,
                tuple(float(axis.start) for axis in box),
                tuple(float(axis.stop) for axis in box),
                difficult=bool(sizes[number] < self.options.difficult_below),
            )
            for number, box in enumerate(ndimage.find_objects(parts), start=1)
            if box is not None and sizes[number] >= self.options.min_voxels
        ]


def _slabs(image: Sliceable) -> Slabs:
    """The image as it lies, a row of chunks at a time."""
    depth = image.shape[1]
    step = max(1, depth if isinstance(image, np.ndarray) else image.chunk[1])
    parts = (image[:, start : min(start + step, depth)] for start in range(0, depth, step))
    return Slabs(image.shape, np.dtype(image.dtype), 1, parts)
