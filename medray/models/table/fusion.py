"""Several tables of one subject, joined before the network or after it."""

from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.errors import SpecError
from medray.models.base import Answers, ModelOptions, Network
from medray.models.table.mlp import DenseOptions, dense_layers


class Fusion(Network):
    """Early: one network over all features. Late: one for each modality, whose logits are averaged.

    A modality of a sample may be missing: its features are NaN. Early fusion sees zeros and a flag
    in its place; late fusion averages what is there, with learnt weights. A sample of which nothing
    is there gets the logits of no evidence: the bias.
    """

    class Options(DenseOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"modalities"})

        modalities: dict[str, int] = Field({}, description="features of each, by name")
        join: Literal["early", "late"] = "early"
        drop_modality: float = Field(
            0.0, ge=0, lt=1, description="chance that training hides a modality of a sample"
        )

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "table"

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__()
        self.modalities, self.drop = dict(options.modalities), options.drop_modality
        self.early: nn.Module | None = None
        if options.join == "early":
            inward = sum(self.modalities.values()) + len(self.modalities)
            self.early = dense_layers(options, inward, out_channels)
            return
        self.late = nn.ModuleList(
            dense_layers(options, inward, out_channels) for inward in self.modalities.values()
        )
        self.trust = nn.Parameter(torch.zeros(len(self.modalities)))
        self.bias = nn.Parameter(torch.zeros(out_channels))

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
            SpecError: modalities are not named (code "no-modalities"), or have not `in_channels`
                features together ("modalities-mismatch").
        """
        chosen = cast("Fusion.Options", options)
        if not chosen.modalities:
            raise SpecError(
                "a fusion needs modalities",
                code="no-modalities",
                about="fusion",
                hint="the data hold one table: take mlp, or ingest several",
            )
        if sum(chosen.modalities.values()) != in_channels:
            raise SpecError(
                f"modalities of {sum(chosen.modalities.values())} features, data of {in_channels}",
                code="modalities-mismatch",
                about="fusion",
                hint="leave `modalities` out: the data say it",
            )
        return cls(chosen, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features), the modalities beside each other, to logits (B, out_channels)."""
        rows, there = self._parts(x)
        if self.early is not None:
            logits: Tensor = self.early(torch.cat([*rows, there.to(rows[0].dtype)], 1))
            return logits
        # (B, modalities, out); softmax over those that are there, none of them: all weights 0.
        answers = torch.stack([part(x) for part, x in zip(self.late, rows, strict=True)], 1)
        lowest = torch.finfo(answers.dtype).min
        trust = self.trust.to(answers.dtype).expand_as(there).masked_fill(~there, lowest)
        weights = trust.softmax(1) * there
        return (weights[:, :, None] * answers).sum(1) + self.bias

    def _parts(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of each modality, zero where it is missing, and bool (B, modalities)."""
        rows, flags = [], []
        for part in torch.split(x, list(self.modalities.values()), 1):
            there = ~part.isnan().any(1)
            if self.training and self.drop:
                there = there & (torch.rand(len(x), device=x.device) >= self.drop)
            rows.append(torch.where(there[:, None], part, 0.0))
            flags.append(there)
        return rows, torch.stack(flags, 1)
