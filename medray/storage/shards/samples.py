"""A sample: what formats produce, operations map and shards hold."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Slabs:
    """An array that arrives as slabs along one axis, for what must not be held whole.

    Args:
        shape: of the whole array.
        dtype: of every slab.
        axis: the axis along which `parts` follow each other without gap or overlap.
        parts: the slabs in order; consumed once.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axis: int
    parts: Iterator[np.ndarray]


@dataclass(frozen=True)
class Layout:
    """How a sample's arrays stand as one Zarr group of a form that other tools know.

    Without it arrays lie as their specs say. With it each is stored under its own name, with its
    axes' names, e.g. as VCF Zarr.

    Args:
        attributes: of the group, JSON-able.
        axes: names of each array's axes, by the array's name.
        chunks: inner chunk of each array.
        notes: attributes of arrays that have some.
    """

    attributes: dict[str, Any]
    axes: dict[str, tuple[str, ...]]
    chunks: dict[str, tuple[int, ...]]
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Sample:
    """One sample: a row of plain values and, where it has them, named arrays.

    Arrays are C-ordered; what they are is declared by who makes them (`shards.schema`). Of images
    `image` is (C, Z, Y, X) or (C, Y, X); `label` is (Z, Y, X) or (Y, X), integer classes; in a
    dataset of predictions `label` is the predicted mask and `probability` is (C, Z, Y, X).
    `row["affine"]` holds 16 floats, row-major, mapping voxel (x, y, z, 1) to
    RAS+ millimetres as in NIfTI; `row["spacing_mm"]` follows the array's axes: (Z, Y, X).

    Args:
        id: unique in its dataset, and already a pseudonym where de-identification is on.
        row: JSON-like values; `subject` groups samples that must stay in one split.
        arrays: by name. Texts are arrays of numpy's `StringDType`, in a layout only.
        layout: how the arrays stand as a group, where they are more than images and labels.
    """

    id: str
    row: dict[str, Any]
    arrays: dict[str, np.ndarray | Slabs] = field(default_factory=dict)
    layout: Layout | None = None
