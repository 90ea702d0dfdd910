"""What a package keeps of the samples that its networks learnt from, for predictions to ask."""

from collections.abc import Mapping

import numpy as np
from safetensors.numpy import load, save

from medray.storage.catalog.models import ModelPackage

FILE = "kept.safetensors"
MOST = 100_000  # samples; of more as many, evenly spaced
MEMBERS = "members"  # among the arrays: which network learnt from which sample


def encode(arrays: Mapping[str, np.ndarray], members: np.ndarray) -> bytes:
    """The file.

    Args:
        arrays: a row for each sample, as of Modality.keeps.
        members: bool (networks, samples), which network learnt from which.
    """
    made: bytes = save({**arrays, MEMBERS: members})
    return made


def kept_of(package: ModelPackage, member: int) -> dict[str, np.ndarray]:
    """Arrays of the samples that a network learnt from; none where the package keeps none.

    Args:
        package: of a training.
        member: number of the network.
    """
    if FILE not in package.files:
        return {}
    arrays = load(package.read(FILE))
    mine = arrays.pop(MEMBERS)[member]
    return {name: values[mine] for name, values in arrays.items()}
