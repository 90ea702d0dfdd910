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


class Few(Columns):
    """Columns that can hold little together, so that a sum is made of each combination and not of
    each row.

    Args: as of `Columns`.
    """

    steps: Tensor
    combinations: Tensor

    def __init__(self, ranges: tuple[tuple[int, int], ...], width: int) -> None:
        super().__init__(ranges, width)
        values = [torch.arange(least, last + 1) for least, last in ranges]
        counts = torch.tensor([len(one) for one in values])
        steps = counts.flip(0).cumprod(0).flip(0) // counts
        self.register_buffer("steps", steps, persistent=False)
        self.register_buffer("combinations", torch.cartesian_prod(*values), persistent=False)

    def every(self) -> Tensor:
        """The sum of each combination, (combinations, width)."""
        made: Tensor = self(self.combinations)
        return made

    def of(self, values: Tensor) -> Tensor:
        """Which combination each of (rows, columns) is, int64 (rows,)."""
        inside = values.long().clamp(self.low, self.high)
        return ((inside - self.low) * self.steps).sum(1)


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
        self.bonds = Few(BONDS, width)
        self.messages = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(2 * width, width)
        self.rounds = options.layers - 1
        self.aside = Aside(options, width)
        self.readout = options.readout
        read = 2 * width if options.readout == "both" else width
        self.head = head_of(options, read + self.aside.width, out_channels)

    def forward(self, batch: Batch) -> Tensor:
        """See MoleculeNetwork."""
        sources, degrees, kind = batch["sources"], batch["degrees"], batch["kind"]
        kinds, bonds = self.atoms(batch["kinds"]), self.bonds.every()
        atoms = functional.embedding(kind, kinds)
        both = kind.index_select(0, sources), self.bonds.of(batch["bonds"]) + len(kinds)
        table = torch.cat([kinds, bonds])
        first = functional.embedding_bag(torch.stack(both, 1), table, mode="sum")
        states = functional.relu(first)
        for _ in range(self.rounds):
            others: Tensor = _Others.apply(states, sources, batch["reverse"], degrees)  # type: ignore[no-untyped-call]
            states = torch.addmm(first, others, self.messages.weight.T).relu_()
        made = self.out(torch.cat([atoms, sums(states, degrees)], 1)).relu_()
        read = [*pooled(made, batch["sizes"], self.readout), *self.aside(batch)]
        logits: Tensor = self.head(torch.cat(read, 1))
        return logits
