"""Masks for a series in NIfTI files beside it.

A mask must lie on the image's grid. Its axes may run otherwise (NIfTI tools prefer RAS, DICOM is
LPS), which is undone without interpolation; anything else is refused.
"""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.geometry import Floats
from medray.formats.imaging.values import as_label, same_grid

SUFFIXES = (".nii.gz", ".nii")


def find_nifti(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The mask of a series: the first of `names` with a NIfTI suffix that is a file in `folder`."""
    for name in names:
        for suffix in SUFFIXES:
            path = folder / (name + suffix)
            if path.is_file():
                return path
    return None


def read_nifti(path: Path, shape: tuple[int, int, int], affine: Floats) -> npt.NDArray[Any]:
    """A mask as (Z, Y, X) classes on the image's grid.

    Args:
        path: of the NIfTI file.
        shape: (Z, Y, X) of the image.
        affine: of the image, voxel (x, y, z) to RAS+ mm.

    Raises:
        DataError: "label-grid-mismatch", "bad-label", or of `imaging.as_label`.
    """
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        theirs: Floats = np.array(image.affine, np.float64)
        sizes = tuple(int(n) for n in image.shape)
        # The header's claim is held against the image before a single voxel is read.
        if math.prod(sizes) != math.prod(shape):
            raise grid_mismatch(shape, sizes[::-1])
        values = np.asarray(image.dataobj).reshape(sizes[:3])
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise DataError(
            f"the label cannot be read ({type(error).__name__})", code="bad-label"
        ) from None
    turned, turned_affine = _aligned(values, theirs, affine)
    mask = np.ascontiguousarray(turned.transpose(2, 1, 0))
    if not same_grid(shape, affine, mask.shape, turned_affine):
        raise grid_mismatch(shape, mask.shape)
    return as_label(mask)


def _aligned(
    values: npt.NDArray[Any], theirs: Floats, ours: Floats
) -> tuple[npt.NDArray[Any], Floats]:
    """Permute and flip (x, y, z) axes so that they run as the image's do."""
    cosines = np.linalg.pinv(ours[:3, :3]) @ theirs[:3, :3]
    axes = np.abs(cosines / np.maximum(np.linalg.norm(cosines, axis=0), 1e-12)).argmax(axis=0)
    if sorted(axes) != [0, 1, 2]:
        return values, theirs
    # `axes[i]` is the image's axis along which the mask's axis i runs.
    order = [int(np.flatnonzero(axes == axis)[0]) for axis in range(3)]
    values = values.transpose(order)
    affine = theirs[:, [*order, 3]]
    for axis, source in enumerate(order):
        if cosines[axis, source] < 0:
            values = np.flip(values, axis)
            affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
    return values, affine


def grid_mismatch(ours: tuple[int, ...], theirs: tuple[int, ...]) -> DataError:
    """Why a mask is none of an image: shapes of both, slow axis first."""
    return DataError(
        f"the image's grid is {ours}, its label's {theirs}, or their affines differ",
        code="label-grid-mismatch",
        hint="resample the label onto the image's grid before ingest",
    )
