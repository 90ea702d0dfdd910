"""What molecules are rewarded for while a network learns to draw better ones."""

from abc import abstractmethod
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from medray.errors import SpecError
from medray.spec.base import Settings

if TYPE_CHECKING:
    from medray.modalities.notation.chemistry import Print
    from medray.modalities.notation.looks import Looks


class Reward(Settings):
    """Base of rewards: frozen, unknown keys refused."""

    properties: ClassVar[tuple[str, ...]] = ()
    """Of molecules, that it looks at; see chemistry.MEASURES."""
    prints: ClassVar[bool] = False
    """Whether it looks at fingerprints."""

    def ready(self) -> None:
        """Refuse what can't be rewarded.

        Raises:
            SpecError: see the codes.
        """
        return

    @abstractmethod
    def of(self, looks: "Looks") -> np.ndarray:
        """float64 (texts,), from 0 to 1; of what is no molecule, anything."""


class Qed(Reward):
    """Likeness to drugs (Bickerton et al. 2012)."""

    properties: ClassVar[tuple[str, ...]] = ("qed",)

    def of(self, looks: "Looks") -> np.ndarray:
        """See Reward."""
        found: np.ndarray = looks.values[:, 0]
        return found


class Similarity(Reward):
    """Tanimoto similarity to a compound (Morgan, radius 2, 2048 bits)."""

    prints: ClassVar[bool] = True
    to: str = Field(description="the compound, as SMILES")

    def ready(self) -> None:
        """See Reward: the compound is a molecule, or it is refused (code "no-molecule")."""
        _print(self.to)

    def of(self, looks: "Looks") -> np.ndarray:
        """See Reward."""
        from medray.modalities.notation.chemistry import nearest

        own = [_print(self.to)]
        return np.array([0.0 if one is None else nearest([one], own)[0] for one in looks.prints])


@cache
def _print(text: str) -> "Print":
    from medray.modalities.notation.looks import look

    (found,) = look([text], prints=True).prints
    if found is None:
        raise SpecError(
            "the compound to be like is no molecule",
            code="no-molecule",
            about="reward.to",
            hint="give a SMILES that RDKit reads",
        )
    return found


REWARDS: dict[str, type[Reward]] = {"qed": Qed, "similarity": Similarity}
