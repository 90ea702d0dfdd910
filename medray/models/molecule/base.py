"""What networks of molecules take, and what they share: embeddings, sums, readout and head.

The batch is ragged and has no padding: a tree of tensors, of B molecules with N atoms and E
directed bonds together (each bond counts twice), end to end in the order of the molecules:

- `kinds` int8 (K, 7): what atoms there are, each once; columns as
  `formats.molecules.graph.ATOM_COLUMNS` says. Some dozens, of thousands of atoms.
- `kind` int64 (N,): which of these each atom is.
- `sizes` int64 (B,): atoms of each molecule.
- `degrees` int64 (N,): directed bonds that lead to each atom.
- `sources` int64 (E,): the atom that each comes from; they are sorted by the atom they lead to.
- `reverse` int64 (E,): which directed bond is the same bond the other way.
- `bonds` uint8 (E, 2): columns as `BOND_COLUMNS` says.
- `bits` int64 (bits,) and `counts` int64 (B,): bits that are on in fingerprints, and how many of
  each molecule, where the network reads them.
- `descriptors` float32 (B, columns): standardised, where the network reads them.

No answer depends on the other molecules of its batch: nothing is averaged over a batch.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.formats.molecules.graph import ATOM_COLUMNS, BOND_COLUMNS, MOST_CHARGE
from medray.models.base import Answers, ModelOptions, Network

Beside = Literal["fingerprint", "descriptors"]
Batch = Mapping[str, Tensor]


def _ranges(columns: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    """Lowest and highest value of each column."""
    first = {name: -MOST_CHARGE if name == "charge" else 0 for name in columns}
    return tuple((first[name], first[name] + size - 1) for name, size in columns.items())


ATOMS, BONDS = _ranges(ATOM_COLUMNS), _ranges(BOND_COLUMNS)


class MoleculeOptions(ModelOptions):
    """Options of all networks of molecules."""

    planned: ClassVar[frozenset[str]] = frozenset({"widths"})

    beside: tuple[Beside, ...] = Field(
        (), description="what is read beside the graph: fingerprint, descriptors"
    )
    widths: dict[str, int] = Field({}, description="columns of what is beside; null: of the data")
    head: tuple[int, ...] = Field((128,), description="units of each layer behind the readout")
    dropout: float = Field(0.1, ge=0, lt=1, description="before each layer of the head")


class _Among(torch.autograd.Function):
    """Sums over each atom's neighbours, of `share` of each.

    A bond goes both ways, so neighbourhood is its own transpose: the gradient is the same sum, of
    what was shared. Neither way holds a row per bond.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, sources: Tensor, starts: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(sources, starts, share)
        return functional.embedding_bag(sources, states, starts, mode="sum") * share

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        sources, starts, share = ctx.saved_tensors
        shared = gradients[0] * share
        return functional.embedding_bag(sources, shared, starts, mode="sum"), None, None, None


class _Sums(torch.autograd.Function):
    """Sums of consecutive rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, lengths: Tensor) -> Tensor:
        ctx.save_for_backward(lengths)
        each = torch.arange(len(rows), device=rows.device)
        return functional.embedding_bag(each, rows, starts_of(lengths), mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (lengths,) = ctx.saved_tensors
        return gradients[0].repeat_interleave(lengths, 0), None


def starts_of(lengths: Tensor) -> Tensor:
    """Where parts of so many rows begin."""
    return lengths.cumsum(0) - lengths


class Around(NamedTuple):
    """Who is around whom in a batch, for as many layers as ask.

    Args:
        sources: as of the batch.
        starts: int64 (N,), where those of each atom begin.
        share: (N, 1), of each atom's neighbours in their mean.
    """

    sources: Tensor
    starts: Tensor
    share: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Of a batch."""
        degrees = batch["degrees"]
        return cls(batch["sources"], starts_of(degrees), (1 / degrees.clamp(min=1))[:, None])


def neighbour_mean(states: Tensor, around: Around) -> Tensor:
    """The mean of each atom's neighbours, (N, width); 0 where there are none."""
    sources, starts, share = around
    made: Tensor = _Among.apply(states, sources, starts, share.to(states.dtype))  # type: ignore[no-untyped-call]
    return made


def sums(rows: Tensor, lengths: Tensor) -> Tensor:
    """Sums of consecutive rows: (lengths.sum(), width) to (len(lengths), width)."""
    made: Tensor = _Sums.apply(rows, lengths)  # type: ignore[no-untyped-call]
    return made


class Columns(nn.Module):
    """The sum of an embedding of each column: a linear layer of their one-hot codes.

    Args:
        ranges: lowest and highest value of each column; what lies outside counts as the nearest.
        width: of the embedding.
    """

    low: Tensor
    high: Tensor
    first: Tensor

    def __init__(self, ranges: tuple[tuple[int, int], ...], width: int) -> None:
        super().__init__()
        low, high = torch.tensor(ranges).T
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.register_buffer("first", starts_of(high - low + 1), persistent=False)
        size = sum(last - least + 1 for least, last in ranges)
        self.table = nn.EmbeddingBag(size, width, mode="sum")
        nn.init.normal_(self.table.weight, std=len(ranges) ** -0.5)

    def forward(self, values: Tensor) -> Tensor:
        """(rows, columns) of integers to (rows, width)."""
        inside = values.long().clamp(self.low, self.high)
        made: Tensor = self.table(inside - self.low + self.first)
        return made


class Aside(nn.Module):
    """What stands beside a graph, as columns of the readout: (B, width).

    Args:
        options: of the network; `widths` of what it reads.
        width: of the embedding of a fingerprint.
    """

    def __init__(self, options: MoleculeOptions, width: int) -> None:
        super().__init__()
        self._bits = options.widths.get("fingerprint", 2048)
        self.width = 0
        self.bits: nn.EmbeddingBag | None = None
        if "fingerprint" in options.beside:
            self.bits = nn.EmbeddingBag(self._bits, width, mode="sum")
            nn.init.normal_(self.bits.weight, std=0.1)
            self.width += width
        self._described = "descriptors" in options.beside
        if self._described:
            self.width += options.widths.get("descriptors", 217)

    def forward(self, batch: Batch) -> list[Tensor]:
        """Of a batch."""
        made = []
        if self.bits is not None:
            bits = batch["bits"] % self._bits
            made.append(functional.relu(self.bits(bits, starts_of(batch["counts"]))))
        if self._described:
            made.append(batch["descriptors"])
        return made


def head_of(options: MoleculeOptions, inward: int, outward: int) -> nn.Sequential:
    """The layers behind the readout, `inward` features to `outward` logits."""
    layers: list[nn.Module] = []
    for width in options.head:
        layers += [nn.Dropout(options.dropout), nn.Linear(inward, width), nn.ReLU()]
        inward = width
    return nn.Sequential(*layers, nn.Dropout(options.dropout), nn.Linear(inward, outward))


class MoleculeNetwork(Network):
    """A network of molecules: a tree as this module describes, to logits (B, out_channels).

    One whose module `atoms` makes states (K, width) of the atoms' columns can be explained by them.
    """

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "molecule"
    graph: ClassVar[bool] = True
    """Whether it reads atoms and bonds."""

    def __init__(self, options: MoleculeOptions, out_channels: int) -> None:
        super().__init__()

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("MoleculeOptions", options), out_channels)

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, out_channels)."""
