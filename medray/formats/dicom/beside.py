"""What lies beside a series: a mask, or a file that marks objects in it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.confined import Confined
from medray.formats.dicom.geometry import Floats
from medray.formats.dicom.headers.headers import Header, Limits, load
from medray.formats.dicom.labels import read_nifti, read_segmentation
from medray.formats.dicom.rois import Rois, read_raw, rois_of
from medray.formats.dicom.rois.places import Places
from medray.formats.imaging.objects import CLIPPED, OBJECTS, Placing, placed
from medray.storage.shards.records import Refusal

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Beside:
    """What is read with a series.

    Args:
        masks: folder of NIfTI masks, None where there is none.
        rois: kind of the files that mark objects, None where masks are read.
        classes: of objects that are taken; empty: all.
    """

    masks: Path | None
    rois: Rois | None
    classes: tuple[str, ...]

    def label(
        self, files: Confined, about: Sequence[str], limits: Limits, grid: Grid, affine: Floats
    ) -> npt.NDArray[Any] | None:
        """The mask of a series, (Z, Y, X), None where it has none.

        Args:
            files: of the source.
            about: names of the files about the series, copies of one.
            limits: sizes to refuse.
            grid: (Z, Y, X) of the volume.
            affine: of the same.

        Raises:
            DataError: copies differ (code "conflicting-duplicates"); see labels.
        """
        if not about or self.rois is not None:
            return None
        if self.masks is not None:
            return read_nifti(self.masks / about[0], grid, affine)
        read = [read_segmentation(*open_file(files, name, limits), grid, affine) for name in about]
        if not all(np.array_equal(read[0], again) for again in read[1:]):
            raise _conflict("masks")
        return read[0]

    def objects(
        self,
        files: Confined,
        about: Sequence[str],
        limits: Limits,
        grid: Grid,
        places: Places,
        key: str,
    ) -> tuple[dict[str, Any], list[Refusal]]:
        """Columns of the objects in a series, and refusals of those that can't be taken.

        Args:
            files: of the source.
            about: names of the files about the series, copies of one.
            limits: sizes to refuse.
            grid: (Z, Y, X) of the volume.
            places: of its slices.
            key: of the sample.

        Raises:
            DataError: copies differ (code "conflicting-duplicates"); see rois.
        """
        if not about or self.rois is None:
            return {OBJECTS: None, CLIPPED: 0}, []
        raw, *others = [read_raw(files, name, limits) for name in about]
        if any(other != raw for other in others):
            raise _conflict("objects")
        found = list(rois_of(self.rois, raw, places))
        columns, refused = placed(key, found, Placing(grid, self.classes))
        return {**columns, "has_label": True}, refused


def open_file(files: Confined, path: str, limits: Limits) -> tuple[Header, bytes]:
    """Header of a file, and the bytes that its pixels are in."""
    handle, status = files.open(path)
    try:
        header, buffer, _ = load(handle, status.st_size, limits)
    finally:
        os.close(handle)
    return header, buffer


def _conflict(what: str) -> DataError:
    return DataError(
        f"two files with one SOP instance UID hold different {what}",
        code="conflicting-duplicates",
        hint="remove the one that is wrong",
    )
