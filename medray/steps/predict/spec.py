"""Predict: a model and a dataset to a dataset of predictions."""

from typing import Any, Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import Engine, StepSpec, Where


class PredictSpec(StepSpec):
    """A model and a dataset to a dataset of predictions."""

    incidental = StepSpec.incidental | {"engine"}

    kind: Literal["predict"]
    model: Reference
    data: Reference
    select: Where = Field({}, description="only samples whose columns have these values")
    output: Name
    precision: Literal["fp32", "bf16"] = "fp32"
    batch: int = Field(1, ge=1, description="windows (or samples, in classification) at once")
    options: dict[str, Any] = Field(
        {},
        description="of images overlap, tta, outputs and checks; of sequences outputs; "
        "of molecules nearest and attributions; of signals min_s, gap_s, step_s, background, "
        "annotator and probabilities",
    )
    engine: Engine = "data"

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but how it is computed."""
        return super().kept() - {"options", "precision", "batch"}
