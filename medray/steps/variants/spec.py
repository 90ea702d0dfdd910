"""Variants: a model of sequences, a genome and a table of sites to a score of each ALT."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import Engine, StepSpec, Where

Statistic = Literal["diff", "log2fc", "l2", "ref", "alt"]


class VariantsSpec(StepSpec):
    """Rows of the data are sites of a VCF: what does each ALT change in the model's answer?"""

    incidental = StepSpec.incidental | {"engine"}

    kind: Literal["variants"]
    model: Reference
    data: Reference
    genome: Reference
    select: Where = Field({}, description="only sites whose columns have these values")
    output: Name
    window: int | None = Field(None, ge=1, description="bases; null: as the model was trained")
    statistics: tuple[Statistic, ...] = Field(
        ("diff",), min_length=1, description="of the answers to ALT and to REF"
    )
    tracks: tuple[str, ...] | None = Field(
        None, min_length=1, description="outputs of the model to compare; null: all"
    )
    reverse_complement: Literal["forward", "reverse", "average"] = Field(
        "forward", description="strand that the network sees; average: both, each by itself"
    )
    precision: Literal["fp32", "bf16"] = "fp32"
    batch: int = Field(256, ge=1, description="windows at once")
    unit: int = Field(50_000, ge=1, description="variants in a unit at most")
    engine: Engine = "data"

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but how it is computed."""
        return super().kept() - {"precision", "batch", "unit"}
