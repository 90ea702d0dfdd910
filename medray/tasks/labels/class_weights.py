"""How much each class weighs in a loss."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from medray.errors import SpecError

ClassWeights = Literal["none", "balanced"] | tuple[float, ...]


def weights_of(
    chosen: ClassWeights, classes: int, frequencies: Sequence[float] | None
) -> np.ndarray | None:
    """Weight of each class in the loss; None if all weigh the same.

    Balanced weights are 1 / (classes * frequency), so the mean weight over the data is 1 and the
    size of the loss stays as it is. They are at most 20: a class with few voxels would else
    dictate every step it appears in.

    Raises:
        SpecError: not one weight per class (code "class-weights").
    """
    if chosen == "none":
        return None
    if chosen == "balanced":
        if frequencies is None:
            return None
        shares = np.maximum(np.asarray(frequencies, np.float64), 1e-12)
        return np.minimum(1 / (classes * shares), 20.0)
    weights = np.asarray(chosen, np.float64)
    if len(weights) != classes:
        raise SpecError(
            f"{len(weights)} class weights for {classes} classes",
            code="class-weights",
            hint="give one per class, background included",
        )
    return weights
