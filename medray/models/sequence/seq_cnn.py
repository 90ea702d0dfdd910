"""Convolutions of several widths over DNA, pooled over the sequence or kept in their places."""

from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from medray.errors import SpecError
from medray.formats.genomics.alphabet import PAD
from medray.models.base import Answers, ModelOptions, Network
from medray.models.sequence.kmers import KmerPath, count_kmers
from medray.models.sequence.tokens import (
    BASES,
    ConvStem,
    Kernel,
    dense_head,
    one_hot,
    reverse_complement,
    summary,
)


class SeqCnn(Network):
    """Filters of several widths side by side (as DeepBind's, Alipanahi et al. 2015, and CNNProm's,
    Umarov & Solovyev 2017), more convolutions upon them on request, and a dense layer; on request
    counts of k-mers beside them."""

    class Options(ModelOptions):
        """What can be chosen."""

        kernels: tuple[Kernel, ...] = Field(
            (5, 9, 15), min_length=1, description="bases that the first filters see"
        )
        filters: int = Field(64, ge=1, description="of each width")
        step: int = Field(1, ge=1, description="positions made one by a max pool after them")
        features: tuple[int, ...] = Field(
            (), description="filters of further convolutions, 5 wide, each with a pool by 2"
        )
        pool: Literal["max", "mean", "both", "flat"] = Field(
            "both",
            description="over the sequence; flat: keep places, for aligned sequences of one length",
        )
        strands: Literal["one", "both"] = Field(
            "one", description="both: the same filters read the other strand too, places are pooled"
        )
        dense: int = Field(64, ge=0, description="units of a layer before the last; 0: none")
        kmers: int = Field(
            0, ge=0, le=6, description="beside it all, a linear path: words up to so long, counted"
        )
        dropout: float = Field(0.2, ge=0, lt=1)

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.strands == "both" and self.pool == "flat":
                raise ValueError("places on two strands differ: no flat pool with both strands")
            if min(self.features, default=1) < 1:
                raise ValueError("features are at least 1")
            return self

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "sequence"

    def __init__(self, options: Options, out_channels: int, bases: int | None) -> None:
        super().__init__()
        self.pool, self.strands, self.bases = options.pool, options.strands, bases
        drop = options.dropout
        self.motifs = nn.ModuleList(
            ConvStem(BASES, (options.filters,), (kernel,), (options.step,), 0.0)
            for kernel in options.kernels
        )
        width, depth = options.filters * len(options.kernels), len(options.features)
        self.drop = nn.Dropout(drop if depth else 0.0)
        self.body = ConvStem(width, options.features, (5,) * depth, (2,) * depth, drop)
        width = options.features[-1] if depth else width
        if options.pool == "flat":
            width *= -(-cast("int", bases) // (options.step * 2**depth))
        elif options.pool == "both":
            width *= 2
        self.head = dense_head(width, options.dense, out_channels, drop)
        self.kmers = KmerPath(options.kmers, out_channels, drop) if options.kmers else None

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
            SpecError: a flat pool, and the sequences' length is not known (code "no-length").
        """
        chosen = cast("SeqCnn.Options", options)
        if chosen.pool == "flat" and patch is None:
            raise SpecError(
                "a flat pool needs the length of the sequences",
                code="no-length",
                about="seq_cnn",
                hint="choose another pool",
            )
        return cls(chosen, out_channels, patch[0] if patch else None)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L) to logits (B, out_channels).

        Raises:
            SpecError: a flat pool, and longer sequences than it was built for (code
                "sequence-too-long").
        """
        if self.pool == "flat":
            tokens = self._filled(tokens)
        found = self._features(tokens)
        if self.strands == "both":
            other = self._features(reverse_complement(tokens))
            found = {
                how: torch.maximum(value, other[how]) if how == "max" else (value + other[how]) / 2
                for how, value in found.items()
            }
        logits: Tensor = self.head(torch.cat(list(found.values()), 1))
        return logits if self.kmers is None else logits + self.kmers(self._counts(tokens))

    def _features(self, tokens: Tensor) -> dict[str, Tensor]:
        bases, there = one_hot(tokens)
        motifs = [motif(bases, there) for motif in self.motifs]
        x, there = self.body(self.drop(torch.cat([x for x, _ in motifs], 1)), motifs[0][1])
        if self.pool == "flat":
            return {"flat": x.flatten(1)}
        found: dict[str, Tensor] = {}
        if self.pool != "mean":
            found["max"] = summary(x, there, "max")
        if self.pool != "max":
            found["mean"] = summary(x, there, "mean")
        return found

    def _counts(self, tokens: Tensor) -> Tensor:
        longest = cast("KmerPath", self.kmers).longest
        counts = count_kmers(one_hot(tokens)[0], longest)
        if self.strands == "both":
            counts = counts + count_kmers(one_hot(reverse_complement(tokens))[0], longest)
        return counts

    def _filled(self, tokens: Tensor) -> Tensor:
        """Padded up to the length that the flat pool was built for."""
        missing = cast("int", self.bases) - tokens.shape[-1]
        if missing < 0:
            raise SpecError(
                f"{tokens.shape[-1]} bases for a network of {self.bases}",
                code="sequence-too-long",
                about="seq_cnn",
                hint="cut the sequences, or choose another pool",
            )
        value = 0 if tokens.is_floating_point() else PAD
        return nn.functional.pad(tokens, (0, missing), value=value)
