"""Directed message passing: states belong to bonds, each in both directions."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.models.molecule.base import (
    ATOMS,
    BONDS,
    Aside,
    Batch,
    Columns,
    MoleculeNetwork,
    MoleculeOptions,
    head_of,
    sums,
)
from medray.models.molecule.message_passing import Readout, pooled


class _Others(torch.autograd.Function):
    """Of each directed bond what reaches the atom that it comes from, less its own reverse.

    Two bonds are in each other's sums or not, so the gradient is the same sum once bonds are turned
    around, and nothing is added up row by row.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, sources: Tensor, reverse: Tensor, degrees: Tensor
    ) -> Tensor:
        ctx.save_for_backward(sources, reverse, degrees)
        into = sums(states, degrees)
        return into.index_select(0, sources).sub_(states.index_select(0, reverse))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        sources, reverse, degrees = ctx.saved_tensors
        turned = gradients[0].index_select(0, reverse)
        into = sums(turned, degrees).index_select(0, sources.index_select(0, reverse))
        return into.sub_(turned), None, None, None


class Dmpnn(MoleculeNetwork):
    """A message along u → v is made of all that reach u, but for that from v itself; so none goes
    back and forth along one bond (Yang et al. 2019).

    h_uv = relu(W [x_u, x_uv]) at first; then h'_uv = relu(h_uv(0) + W (sum over w of h_wu - h_vu)).
    """

    class Options(MoleculeOptions):
        """What can be chosen."""

        hidden: int = Field(128, ge=1, description="width of a bond's state")
        layers: int = Field(3, ge=1, description="rounds of messages")
        readout: Readout = Field(
            "both", description="of all atoms: their mean, their sum, or both beside each other"
        )

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__(options, out_channels)
        width = options.hidden
        self.atoms = Columns(ATOMS, width)
        self.bonds = Columns(BONDS, width)
        self.messages = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(2 * width, width)
        self.rounds = options.layers - 1
        self.aside = Aside(options, width)
        self.readout = options.readout
        read = 2 * width if options.readout == "both" else width
        self.head = head_of(options, read + self.aside.width, out_channels)

    def forward(self, batch: Batch) -> Tensor:
        """See MoleculeNetwork."""
        sources, degrees = batch["sources"], batch["degrees"]
        atoms = functional.embedding(batch["kind"], self.atoms(batch["kinds"]))
        first = functional.embedding(sources, atoms) + self.bonds(batch["bonds"])
        states = functional.relu(first)
        for _ in range(self.rounds):
            others: Tensor = _Others.apply(states, sources, batch["reverse"], degrees)  # type: ignore[no-untyped-call]
            states = (first + self.messages(others)).relu_()
        made = functional.relu(self.out(torch.cat([atoms, sums(states, degrees)], 1)))
        read = [*pooled(made, batch["sizes"], self.readout), *self.aside(batch)]
        logits: Tensor = self.head(torch.cat(read, 1))
        return logits
