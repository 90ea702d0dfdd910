"""Which samples and subjects the networks of a package learnt from, by hashes of their names."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from safetensors.numpy import load

from medray.storage.catalog.models import ModelPackage

FILE = "learnt.safetensors"


def hashes(names: Iterable[str]) -> np.ndarray:
    """The 64-bit hash of each name, int64 (n,)."""
    made = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(made, np.int64)


class Learnt:
    """What each network of a package learnt from.

    Args:
        package: of a training.
    """

    def __init__(self, package: ModelPackage) -> None:
        self._package = package
        tensors = load(package.read(FILE)) if FILE in package.files else {}
        self.members = [
            {kind: tensors[f"{at}.{kind}"] for kind in ("samples", "subjects")}
            for at in range(len(tensors) // 2)
        ]
        """Hashes by kind, rising, of each network; none where the package does not say."""

    def saw(self, kind: str, names: Sequence[str]) -> np.ndarray:
        """Whether each network learnt from a name, bool (names, networks); not from an empty one.

        Args:
            kind: "samples" or "subjects".
            names: ids of samples, or their subjects.
        """
        asked, named = hashes(names), np.array([bool(name) for name in names], bool)
        found = np.zeros((len(names), len(self.members)), bool)
        for at, member in enumerate(self.members):
            own = member[kind]
            if len(own):
                places = np.minimum(np.searchsorted(own, asked), len(own) - 1)
                found[:, at] = named & (own[places] == asked)
        return found

    def left_out(self, subjects: Sequence[str]) -> np.ndarray:
        """Which networks are to be asked about samples, bool (samples, networks): those that learnt
        from nobody of its subject. Where all of them did, or none is named, they are all asked.

        Args:
            subjects: whose they are; "": not known.
        """
        asked = ~self.saw("subjects", subjects)
        asked |= ~asked.any(1, keepdims=True)
        return asked

    def asked(
        self,
        held_out: Any,
        subjects: Sequence[str],
        folds: Sequence[Any] | None,
    ) -> np.ndarray:
        """Which networks a prediction asked about samples, bool (samples, networks).

        Args:
            held_out: as it was asked, see medray.modalities.base.Asking.
            subjects: whose they are; "": not known.
            folds: of the samples, in the column that parted the training; None: there is none.
        """
        if held_out == "subject":
            return self.left_out(subjects)
        if not held_out or folds is None:
            return np.ones((len(subjects), len(self.members)), bool)
        values = [member["value"] for member in self._package.config["folds"]["members"]]
        return np.array([[one == value for value in values] for one in folds], bool)
