"""Masks as channels beside those of an image."""

from collections.abc import Iterable, Iterator

import numpy as np

from medray.errors import DataError
from medray.storage.shards.stored import Sliceable


def one_hot(mask: np.ndarray, classes: int, about: str = "") -> np.ndarray:
    """A channel for each class but the first, float32 (classes - 1, *mask.shape), 0 or 1.

    Args:
        mask: numbers of classes.
        classes: how many there are.
        about: the sample's id.

    Raises:
        DataError: the mask holds a number beyond them (code "unknown-label").
    """
    highest = int(mask.max(initial=0))
    if highest >= classes:
        raise DataError(
            f"the guide holds class {highest} of {classes}", code="unknown-label", about=about
        )
    wanted = np.arange(1, classes, dtype=mask.dtype).reshape(-1, *[1] * mask.ndim)
    channels: np.ndarray = (mask[None] == wanted).astype(np.float32)
    return channels


def beside(
    parts: Iterable[np.ndarray], guide: Sliceable, classes: int, about: str
) -> Iterator[np.ndarray]:
    """Slabs of an image (C, depth, *rest) with those of its guide behind them, as further channels.

    Args:
        parts: consecutive along axis 1, normalised.
        guide: the mask of all of it, read slab by slab.
        classes: of the guide.
        about: the sample's id.
    """
    start = 0
    for part in parts:
        stop = start + part.shape[1]
        mask = np.asarray(guide[start:stop])
        yield np.concatenate([part, one_hot(mask, classes, about)])
        start = stop
