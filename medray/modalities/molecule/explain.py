"""What each atom has to do with an answer: integrated gradients (Sundararajan et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medray.modalities.base import Trained
from medray.modalities.molecule.cases import Molecules

STEPS, MOST_STEPS = 32, 512  # points on the path: as many as it takes
ATOMS = "atoms"  # the module of a network that makes states of atoms
CLOSE = 0.01  # of all attributions' size, that their sum may be off


@dataclass(frozen=True)
class Explained:
    """Attributions of some molecules.

    Args:
        atoms: of each molecule those of its atoms, float64 (atoms,).
        answers: what is explained, (molecules,), in the answer's own unit.
        blanks: the same where nothing is known of any atom; the rest is what the atoms add up to.
    """

    atoms: list[np.ndarray]
    answers: np.ndarray
    blanks: np.ndarray


def explains(network: nn.Module) -> bool:
    """Whether a network has the module that makes states of atoms, to be explained by."""
    return ATOMS in dict(network.named_children())


def explain(trained: Trained, molecules: Molecules, values: Sequence[int]) -> Explained:
    """How much of an answer each atom brings about, from what the network says of the same graph
    with blank atoms (states of zeros) on.

    Sums of attributions are the differences between both answers but for the sum over the path,
    whose points double until they are that within CLOSE of their size, or these are MOST_STEPS.

    Args:
        trained: by a network that `explains`.
        molecules: as it takes them, scaled.
        values: which of the answer's values is explained, of each molecule.
    """
    which, steps = np.asarray(values), STEPS
    whole = _Path(trained, molecules, which)
    blanks, answers = (whole.at(share)[0] for share in (0.0, 1.0))
    atoms: list[np.ndarray] = [np.zeros(0)] * len(which)
    left = np.arange(len(which))
    while len(left):
        path = _Path(trained, molecules.take(left), which[left])
        # The middle of each part of the path: ends may lie on a ReLU's edge.
        points = [path.at((step + 0.5) / steps)[1] for step in range(steps)]
        found = np.split(np.mean(points, axis=0), path.ends[:-1])
        for at, own in zip(left.tolist(), found, strict=True):
            atoms[at] = own
        off = np.array([one.sum() for one in found]) - (answers - blanks)[left]
        far = np.abs(off) > CLOSE * np.array([np.abs(one).sum() for one in found])
        steps *= 2
        left = left[far] if steps <= MOST_STEPS else left[:0]
    return Explained(atoms, answers, blanks)


class _Path:
    """Answers and gradients on the straight line from blank atoms to the atoms themselves."""

    def __init__(self, trained: Trained, molecules: Molecules, which: np.ndarray) -> None:
        graphs = molecules.graphs
        apart = replace(molecules, graphs=None if graphs is None else graphs.apart())
        self._trained, self._inputs = trained, apart.tree(trained.device)
        self._which = torch.from_numpy(which).to(trained.device)
        self.ends = np.cumsum([] if graphs is None else graphs.sizes)

    def at(self, share: float) -> tuple[np.ndarray, np.ndarray]:
        """The answers (molecules,), and states times gradients of each atom, (atoms,); float64."""
        held: dict[str, Tensor] = {}

        def fade(_: nn.Module, __: Any, made: Tensor) -> Tensor:
            held["states"] = made.detach()
            held["faded"] = (held["states"] * share).requires_grad_()
            return held["faded"]

        trained = self._trained
        with torch.enable_grad():
            hook = trained.network.get_submodule(ATOMS).register_forward_hook(fade)
            try:
                made = trained.task.probabilities(trained.network(self._inputs))
            finally:
                hook.remove()
            answers = made[torch.arange(len(made)), self._which]
            (gradient,) = torch.autograd.grad(answers.sum(), [held["faded"]])
        weights = (held["states"] * gradient).sum(1)
        return answers.detach().double().cpu().numpy(), weights.double().cpu().numpy()
