"""Evaluate: predictions and the truth to scores."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import StepSpec, Where


class EvaluateSpec(StepSpec):
    """Predictions and the truth to scores."""

    kind: Literal["evaluate"]
    predictions: Reference
    data: Reference
    select: Where | None = Field(
        None, description="samples of data to judge; null: those that were to be predicted"
    )
    output: Name
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % intervals")
    seed: int = 0

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but the resampling."""
        return super().kept() - {"bootstrap", "seed"}
