"""Baselines in a model's package: a file of each kind, of all of its networks."""

from collections.abc import Sequence

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from medray.baselines import BASELINES
from medray.baselines.base import Baseline
from medray.errors import DataError, SpecError
from medray.storage.catalog.models import ModelPackage


def file_of(kind: str) -> str:
    """Where a package has a baseline, by its name in the registry."""
    return f"baseline-{kind}.safetensors"


def encode(members: Sequence[Baseline]) -> bytes:
    """Baselines of a model's networks, in order, as a safetensors file."""
    tensors = {
        f"{at}.{name}": np.ascontiguousarray(tensor)
        for at, one in enumerate(members)
        for name, tensor in one.tensors().items()
    }
    made: bytes = save(tensors)
    return made


def decode(data: bytes, kind: type[Baseline]) -> list[Baseline]:
    """What `encode` wrote of baselines of one kind.

    Raises:
        DataError: it is not (code "bad-weights").
    """
    members: dict[int, dict[str, np.ndarray]] = {}
    try:
        for key, tensor in load(data).items():
            at, _, name = key.partition(".")
            members.setdefault(int(at), {})[name] = tensor
        return [kind.of(members[at]) for at in range(len(members))]
    except (SafetensorError, KeyError, IndexError, ValueError) as error:
        raise DataError("not a sound safetensors file", code="bad-weights") from error


def baseline_of(package: ModelPackage, member: int, kind: str) -> Baseline:
    """The baseline beside a network of a package.

    Args:
        package: of a training.
        member: number of the network.
        kind: name in the registry.

    Raises:
        SpecError: there is none of that kind (code "no-baseline").
        DataError: see `decode`.
    """
    if file_of(kind) not in package.files:
        raise SpecError(
            f"no baseline {kind!r} stands beside the network",
            code="no-baseline",
            about=package.reference,
            hint="train it again",
        )
    return decode(package.read(file_of(kind)), BASELINES.get(kind))[member]
