"""Message passing with mean aggregation over the graph of atoms."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.models.molecule.base import (
    ATOMS,
    Around,
    Aside,
    Batch,
    Columns,
    MoleculeNetwork,
    MoleculeOptions,
    head_of,
    neighbour_mean,
    sums,
)

Readout = Literal["mean", "sum", "both"]
MANY = 16.0  # atoms of a usual molecule: sums over atoms come to the size of a mean


class MeanLayer(nn.Module):
    """h'_v = relu(mean over neighbours u of W h_u + W0 h_v), as GraphSAGE has it (Hamilton et al.
    2017); an atom without neighbours has the second part alone.

    Args:
        inward: width of h.
        outward: width of h'.
    """

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.neighbours = nn.Linear(inward, outward)
        self.own = nn.Linear(inward, outward, bias=False)

    def forward(self, states: Tensor, around: Around, kind: Tensor | None = None) -> Tensor:
        """(N, inward) to (N, outward); or states are of kinds, (K, inward), and each atom has one.

        Then both products are of K rows and not of N: what is made of a mean is the mean of what is
        made of each.
        """
        if kind is None:
            others = self.neighbours(neighbour_mean(states, around))
            return torch.addmm(others, states, self.own.weight.T).relu_()
        own = functional.linear(states, self.own.weight, self.neighbours.bias)
        made = functional.linear(states, self.neighbours.weight)
        others = neighbour_mean(functional.embedding(kind, made), around)
        return (others + functional.embedding(kind, own)).relu_()


class MessagePassing(MoleculeNetwork):
    """Layers of mean aggregation, a readout over atoms, and dense layers behind it."""

    class Options(MoleculeOptions):
        """What can be chosen."""

        hidden: int = Field(128, ge=1, description="width of an atom's state")
        layers: int = Field(4, ge=1, description="rounds of messages: how far an atom sees")
        readout: Readout = Field(
            "both", description="of all atoms: their mean, their sum, or both beside each other"
        )

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__(options, out_channels)
        width = options.hidden
        self.atoms = Columns(ATOMS, width)
        self.layers = nn.ModuleList(MeanLayer(width, width) for _ in range(options.layers))
        self.aside = Aside(options, width)
        self.readout = options.readout
        read = 2 * width if options.readout == "both" else width
        self.head = head_of(options, read + self.aside.width, out_channels)

    def forward(self, batch: Batch) -> Tensor:
        """See MoleculeNetwork."""
        states, around = functional.relu(self.atoms(batch["kinds"])), Around.of(batch)
        kind: Tensor | None = batch["kind"]
        for layer in self.layers:
            states, kind = layer(states, around, kind), None
        read = [*pooled(states, batch["sizes"], self.readout), *self.aside(batch)]
        logits: Tensor = self.head(torch.cat(read, 1))
        return logits


def pooled(states: Tensor, sizes: Tensor, readout: Readout) -> list[Tensor]:
    """States of atoms (N, width) to molecules', (B, width) each."""
    total = sums(states, sizes)
    mean = total / sizes.clamp(min=1).to(total.dtype)[:, None]
    return {"mean": [mean], "sum": [total / MANY], "both": [mean, total / MANY]}[readout]
