"""What lies beside a series: a mask, or a file that marks objects or draws regions in it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.confined import Confined
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.headers import Header, Limits, load
from medray.formats.dicom.labels import read_nifti
from medray.formats.dicom.rois import Rois, mask_of_rois, read_raw, rois_of
from medray.formats.dicom.rois.places import Places
from medray.formats.dicom.rois.segments import Segments
from medray.formats.dicom.segments import Grid, Segmentation, open_segmentation, read_segmentation
from medray.formats.imaging.objects import CLIPPED, OBJECTS, Placing, placed
from medray.formats.imaging.volume_boxes import VolumeBoxes
from medray.storage.shards.records import Refusal

INTERPOLATED = "contours_interpolated"


@dataclass(frozen=True)
class Space:
    """The voxels that files beside a series are held against.

    Args:
        key: of the sample.
        grid: (Z, Y, X) of it.
        places: of its slices.
    """

    key: str
    grid: Grid
    places: Places


@dataclass(frozen=True)
class Told:
    """What files beside a series say of it.

    Args:
        label: (Z, Y, X) classes, None where there are none.
        columns: of the row.
        refused: objects and regions that are not taken.
    """

    label: npt.NDArray[Any] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    refused: Sequence[Refusal] = ()


NOBODY_LOOKED = Told(columns={OBJECTS: None, CLIPPED: 0})


@dataclass(frozen=True)
class Beside:
    """How what lies beside a series is read.

    Args:
        masks: folder of NIfTI masks, None where there is none.
        rois: kind of the files that mark objects, None where masks are read.
        contours: masks are made of contours.
        boxes: table of objects, None where there is none.
        classes: of objects or regions that are taken; of objects empty: all.
    """

    masks: Path | None
    rois: Rois | None
    contours: bool
    boxes: VolumeBoxes | None
    classes: tuple[str, ...]

    def told(self, files: Confined, extra: Mapping[str, Any], limits: Limits, space: Space) -> Told:
        """What is said of voxels.

        Args:
            files: of the source.
            extra: of an input: names of the files about the series, copies of one, as `labels`, of
                the segmentations that these name as `segmentations`; boxes of a table as `boxes`.
            limits: sizes to refuse.
            space: that it is about.

        Raises:
            DataError: copies differ (code "conflicting-duplicates"); see labels, segments and rois.
        """
        about = extra.get("labels", ())
        if self.boxes is not None:
            return self.boxed(extra, space.key, space.grid, space.places.affine)
        if self.rois:
            if not about:
                return NOBODY_LOOKED
            segments = extra.get("segmentations", ())
            return self._objects(_one(files, about, limits), files, segments, limits, space)
        if not about:
            return Told()
        if self.contours:
            return self._regions(_one(files, about, limits), space)
        affine = space.places.affine
        if self.masks is not None:
            return Told(read_nifti(self.masks / about[0], space.grid, affine))
        read = [
            read_segmentation(*open_file(files, name, limits), space.grid, affine) for name in about
        ]
        if not all(np.array_equal(read[0], again) for again in read[1:]):
            raise _conflict("masks")
        return Told(read[0])

    def boxed(
        self, extra: Mapping[str, Any], key: str, grid: Sequence[int], affine: np.ndarray
    ) -> Told:
        """What a table of boxes says; see `told`."""
        if self.boxes is None:
            return Told()
        if "boxes" not in extra:
            return NOBODY_LOOKED
        columns, refused = self.boxes.columns(key, extra["boxes"], grid, affine)
        return Told(None, {**columns, "has_label": True}, refused)

    def _objects(
        self, raw: bytes, files: Confined, segments: Sequence[str], limits: Limits, space: Space
    ) -> Told:
        assert self.rois is not None  # noqa: S101 - asked by `told`

        def load_all() -> dict[str, Segmentation]:
            found = {}
            for name in segments:
                header, buffer = open_file(files, name, limits)
                sop = header.elements.text(tags.SOP_INSTANCE_UID)
                found[sop] = open_segmentation(header, buffer)
            return found

        beside = Segments(load_all, space.grid, space.places.affine)
        found = list(rois_of(self.rois, raw, space.places, beside))
        columns, refused = placed(space.key, found, Placing(space.grid, self.classes))
        return Told(None, {**columns, "has_label": True}, refused)

    def _regions(self, raw: bytes, space: Space) -> Told:
        mask, interpolated, passed = mask_of_rois(raw, space.places, space.grid, self.classes)
        refused = [
            Refusal.of(space.key, error, sample=f"{space.key}:{number}") for number, error in passed
        ]
        return Told(mask, {INTERPOLATED: interpolated}, refused)


def open_file(files: Confined, path: str, limits: Limits) -> tuple[Header, bytes]:
    """Header of a file, and the bytes that its pixels are in."""
    handle, status = files.open(path)
    try:
        header, buffer, _ = load(handle, status.st_size, limits)
    finally:
        os.close(handle)
    return header, buffer


def _one(files: Confined, about: Sequence[str], limits: Limits) -> bytes:
    """The content of copies of one file."""
    raw, *others = [read_raw(files, name, limits) for name in about]
    if any(other != raw for other in others):
        raise _conflict("objects or contours")
    return raw


def _conflict(what: str) -> DataError:
    return DataError(
        f"two files with one SOP instance UID hold different {what}",
        code="conflicting-duplicates",
        hint="remove the one that is wrong",
    )
