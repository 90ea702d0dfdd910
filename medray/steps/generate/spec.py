"""Generate: a model to a dataset of new samples."""

from typing import Any, Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import StepSpec


class GenerateSpec(StepSpec):
    """A model to a dataset of samples that it draws, and what is to be said of them."""

    kind: Literal["generate"]
    model: Reference
    count: int = Field(ge=1, description="samples to draw")
    seed: int = 0
    unit: int = Field(1000, ge=1, description="samples in a unit, which are drawn together")
    options: dict[str, Any] = Field(
        {}, description="how the modality's models draw; of line notations temperature and longest"
    )
    features: Reference | None = Field(
        None, description="a model whose features tell how far drawn images are from real ones"
    )
    output: Name

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but how samples are drawn."""
        return super().kept() - {"options", "seed", "unit"}
