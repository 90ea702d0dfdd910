"""MedMNIST's .npz: a zip of .npy arrays, streamed. Nothing is unpickled, nothing held whole.

Official splits stand in the arrays' names: train_images, train_labels, val_images, …
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medray.errors import DataError
from medray.formats.npz import Array, member, opened, values_of

SPLITS = ("train", "val", "test")
PART_BYTES = 64 * 2**20
PART_SAMPLES = 4096
# A part is reached, and its checksum checked, by unpacking all of the array: 16 times at most.
MAX_PARTS = 16


def parts(path: Path) -> Iterator[tuple[str, list[tuple[int, int]] | DataError]]:
    """Each split, and (start, stop) of its pieces: of at most 64 MiB and 4,096 images or a
    sixteenth each. A split that is broken gives what is wrong with it; the others stand.

    Raises:
        DataError: of the whole archive: "damaged-npz", "not-medmnist".
    """
    with opened(path, "not-medmnist") as archive:
        names = set(archive.namelist())
        splits = [s for s in SPLITS if any(f"{s}_{kind}.npy" in names for kind in _KINDS)]
        if not splits:
            raise DataError(
                "the archive holds no train_images, val_images or test_images", code="not-medmnist"
            )
        for split in splits:
            try:
                yield split, _pieces(archive, split)
            except DataError as error:
                yield split, error


def _pieces(archive: zipfile.ZipFile, split: str) -> list[tuple[int, int]]:
    images, labels = (member(archive, f"{split}_{kind}.npy") for kind in _KINDS)
    if len(images.shape) < 3 or not labels.shape or images.shape[0] != labels.shape[0]:
        raise DataError("images and labels don't count alike", code="uneven-npz")
    step = min(PART_SAMPLES, PART_BYTES // max(1, images.sample_bytes))
    step = max(1, step, -(-images.shape[0] // MAX_PARTS))
    return [
        (start, min(images.shape[0], start + step)) for start in range(0, images.shape[0], step)
    ]


def read_part(path: Path, split: str, start: int, stop: int) -> Iterator[tuple[Array, Array]]:
    """Image and label of each sample from `start` to `stop`; holds these and no others.

    Nothing is yielded before the checksum of both arrays has been found right.

    Yields:
        The image as stored, (Y, X), (Y, X, C) or (Z, Y, X), and its label values, (k,).

    Raises:
        DataError: "damaged-npz", "pickled-array", "uneven-npz", "compression-bomb".
    """
    with opened(path, "not-medmnist") as archive:
        images, labels = (_values(archive, f"{split}_{kind}.npy", start, stop) for kind in _KINDS)
    for image, label in zip(images, labels, strict=True):
        yield image, label.reshape(-1)


def classes_of(label: Array) -> list[int]:
    """Class numbers of one sample.

    Args:
        label: as stored, (k,).

    Raises:
        DataError: one is no whole number ("fractional-label") or below 0 ("negative-label").
    """
    whole = np.isfinite(label) & (label == np.rint(label)) if label.dtype.kind == "f" else label
    if label.dtype.kind == "f" and not whole.all():
        raise DataError("a label is no whole number", code="fractional-label")
    if (label < 0).any():
        raise DataError("a label is negative", code="negative-label")
    return [int(value) for value in label]


_KINDS = ("images", "labels")


def _values(archive: zipfile.ZipFile, name: str, start: int, stop: int) -> Array:
    found = member(archive, name)
    if stop > found.shape[0]:
        raise DataError("the archive changed since it was planned", code="uneven-npz")
    return values_of(archive, found, start, stop)
