"""Instances that have a file each, as one image of numbers."""

from collections.abc import Iterable

import numpy as np

from medray.errors import DataError


def numbered(masks: Iterable[tuple[str, np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
    """Number instances from 1, in the order in which they come.

    Args:
        masks: name and pixels of each, of which all but 0 are its own.
        shape: of the picture.

    Returns:
        uint16 of `shape`. A pixel of several masks belongs to the first of them.

    Raises:
        DataError: a mask is of another size ("label-grid-mismatch"), or nothing is left of one:
            it is empty, or others cover it ("empty-instance"); `about` is its name. Or there are
            more than 65,535 ("too-many-instances").
    """
    label = np.zeros(shape, np.uint16)
    for number, (name, mask) in enumerate(masks, start=1):
        if mask.shape != shape:
            raise DataError(
                f"the image is {shape} pixels, the mask of an instance {mask.shape}",
                code="label-grid-mismatch",
                about=name,
            )
        if number > np.iinfo(label.dtype).max:
            raise DataError("a picture has over 65,535 instances", code="too-many-instances")
        free = (mask != 0) & (label == 0)
        if not free.any():
            raise DataError(
                "the mask of an instance is empty, or others cover it",
                code="empty-instance",
                about=name,
                hint="remove the file, if there is no instance",
            )
        label[free] = number
    return label


def grey(image: np.ndarray) -> np.ndarray:
    """Red, green and blue (3, …) as luma (1, …) of the same type (ITU-R BT.601), rounded; an image
    of one channel as it is.

    Raises:
        DataError: it has other channels (code "unsupported-colour").
    """
    if len(image) == 1:
        return image
    if len(image) != 3:
        raise DataError(
            f"an image of {len(image)} channels has no grey",
            code="unsupported-colour",
            hint="leave `colour` out, or take a channel",
        )
    luma = np.tensordot(np.array([0.299, 0.587, 0.114]), image.astype(np.float64), 1)
    if image.dtype.kind in "iu":
        luma = np.rint(luma)
    made: np.ndarray = luma[None].astype(image.dtype)
    return made
