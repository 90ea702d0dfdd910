"""Screen: several models over all of a dataset, in one pass."""

from typing import Annotated, Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import StepSpec


class ScreenSpec(StepSpec):
    """Several models over all of a dataset, in one pass, to a column of scores each."""

    kind: Literal["screen"]
    models: Annotated[dict[Name, Reference], Field(min_length=1)] = Field(
        description="name of a column → model; one of several outputs has a column of each, "
        "name.output"
    )
    data: Reference
    keep: tuple[str, ...] = Field(
        (), description="columns of the data that are to stand beside the scores"
    )
    output: Name
    precision: Literal["fp32", "bf16"] = "fp32"
    batch: int = Field(1, ge=1, description="samples at once, where a model does not take more")
    unit: int = Field(65_536, ge=1, description="samples in a unit at most")

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but how it is computed."""
        return super().kept() - {"precision", "batch", "unit"}
