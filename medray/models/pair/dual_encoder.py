"""A compound and a protein, each read by an encoder of its own, and dense layers over both."""

from collections.abc import Mapping
from typing import Any, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.errors import SpecError
from medray.models import MODELS, model_options
from medray.models.base import ModelOptions
from medray.models.molecule.base import MoleculeNetwork
from medray.models.pair.base import PairNetwork
from medray.models.pair.residues import HEADS, ResidueEncoder
from medray.models.sequence.tokens import Kernel


class Norm(nn.BatchNorm1d):
    """Batch norm over what is distinct in a batch; by what was seen before where that is one."""

    def forward(self, x: Tensor) -> Tensor:
        """(rows, width) to the same shape."""
        if self.training and len(x) < 2:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class DualEncoder(PairNetwork):
    """As DeepDTA (Öztürk et al. 2018), with a graph for the compound as in GraphDTA (Nguyen et al.
    2021). Each compound and each protein of a batch is read once, however many pairs have it.

    Kinases are much alike, so what tells one from another is small beside what they share: vectors
    are normed over the distinct ones of a batch. Their product stands beside them, since how a
    compound binds to one protein is little without the other.
    """

    class Options(ModelOptions):
        """What can be chosen."""

        compound: dict[str, Any] = Field(
            {"name": "dmpnn"}, description="any network of molecules' graphs: its name and options"
        )
        embedding: int = Field(32, ge=1, description="size of a residue's learnt vector")
        filters: tuple[int, ...] = Field(
            (32, 64, 96), min_length=1, description="of each convolution over residues"
        )
        kernel: Kernel = Field(7, description="positions that a filter sees")
        pool: int = Field(4, ge=1, description="positions made one behind each convolution")
        attention: int = Field(
            0, ge=0, le=12, description="layers of self-attention over what is left of a protein"
        )
        words: int = Field(
            2, ge=0, le=4, description="residues of words that are counted beside; 0: none"
        )
        width: int = Field(128, ge=1, description="of a compound's vector, and of a protein's")
        head: tuple[int, ...] = Field((256,), description="units of each layer over both")
        dropout: float = Field(0.1, ge=0, lt=1, description="before each layer of the head")

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__()
        model = options.compound
        self.compound = MODELS.get(model["name"]).build(
            model_options(model), 1, options.width, None
        )
        self.protein = ResidueEncoder(
            options.embedding,
            options.filters,
            options.kernel,
            options.pool,
            options.attention,
            options.words,
            options.width,
            options.dropout,
        )
        self.norms = nn.ModuleList(Norm(options.width) for _ in range(2))
        layers: list[nn.Module] = []
        inward = 3 * options.width
        for width in options.head:
            layers += [nn.Dropout(options.dropout), nn.Linear(inward, width), nn.ReLU()]
            inward = width
        self.head = nn.Sequential(
            *layers, nn.Dropout(options.dropout), nn.Linear(inward, out_channels)
        )

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`.

        Raises:
            SpecError: `compound` is no network of graphs alone (code "wrong-encoder"), or filters
                can't be shared by the heads of attention ("odd-heads").
        """
        chosen = cast("DualEncoder.Options", options)
        kind = MODELS.get(str(chosen.compound.get("name")))
        beside = getattr(model_options(chosen.compound), "beside", ())
        if kind.takes != MoleculeNetwork.takes or not getattr(kind, "graph", True) or beside:
            raise SpecError(
                "the encoder of compounds does not read graphs, or not them alone",
                code="wrong-encoder",
                about="dual-encoder",
                hint="such as `compound: {name: dmpnn, hidden: 128}`",
            )
        if chosen.attention and chosen.filters[-1] % HEADS:
            raise SpecError(
                f"{chosen.filters[-1]} filters for {HEADS} heads of attention",
                code="odd-heads",
                about="dual-encoder",
                hint=f"end `filters` with a multiple of {HEADS}",
            )
        return cls(chosen, out_channels)

    def forward(self, batch: Mapping[str, Any]) -> Tensor:
        """See PairNetwork."""
        compounds = self.norms[0](self.compound(batch["compounds"]))
        proteins = self.norms[1](self.protein(batch["residues"]))
        compounds = compounds.index_select(0, batch["compound"])
        proteins = proteins.index_select(0, batch["protein"])
        both = [functional.relu(compounds), functional.relu(proteins), compounds * proteins]
        logits: Tensor = self.head(torch.cat(both, 1))
        return logits
