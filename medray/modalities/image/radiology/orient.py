"""How the axes of a stored volume lie in the patient, and the volume turned to be read."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Turn:
    """How a stored volume (Z, Y, X) is turned: from feet to head, from front to back, from the
    patient's right to the left, by the nearest of its axes.

    Args:
        order: which stored axis comes first, second and third.
        flipped: whether each of these is then mirrored.
        oblique_deg: by how much an axis is off at most.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    oblique_deg: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The volume turned, a view."""
        steps = tuple(slice(None, None, -1 if flipped else 1) for flipped in self.flipped)
        turned: np.ndarray = values.transpose(self.order)[steps]
        return turned

    def sizes(self, spacing_mm: Sequence[float]) -> tuple[float, float, float]:
        """Millimetres a voxel along the turned axes."""
        first, second, third = (float(spacing_mm[axis]) for axis in self.order)
        return first, second, third


def turn_of(affine: Sequence[float] | None) -> Turn | None:
    """How a volume with that affine is turned.

    Args:
        affine: 16 floats, row-major, voxel (x, y, z, 1) to RAS+ millimetres; None if unknown.

    Returns:
        None where there is none, or one that has no three directions.
    """
    if affine is None:
        return None
    matrix = np.asarray(affine, np.float64).reshape(4, 4)[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(matrix).all() or not sizes.all() or np.linalg.det(matrix) == 0:
        return None
    towards = matrix / sizes  # rows: right, front, head; columns: voxel axes x, y, z
    # Rows for head, front and right, each of which takes another voxel axis: those that follow it.
    wanted = towards[::-1]
    ways = itertools.permutations(range(3))
    chosen = max(ways, key=lambda axes: sum(abs(wanted[at, of]) for at, of in enumerate(axes)))
    along = [float(wanted[at, of]) for at, of in enumerate(chosen)]
    order = (2 - chosen[0], 2 - chosen[1], 2 - chosen[2])
    flipped = (along[0] < 0, along[1] > 0, along[2] > 0)
    off = math.degrees(math.acos(min(1.0, *(abs(one) for one in along))))
    return Turn(order, flipped, off)
