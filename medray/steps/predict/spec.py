"""Predict: a model and a dataset to a dataset of predictions."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import StepSpec, Where


class PredictSpec(StepSpec):
    """A model and a dataset to a dataset of predictions."""

    incidental = StepSpec.incidental | {"engine"}

    kind: Literal["predict"]
    model: Reference
    data: Reference
    select: Where = Field({}, description="only samples whose columns have these values")
    output: Name
    overlap: float = Field(0.5, ge=0, lt=1, description="of neighbouring windows")
    tta: bool = Field(False, description="average over copies mirrored as in training")
    precision: Literal["fp32", "bf16"] = "fp32"
    batch: int = Field(1, ge=1, description="windows (or samples, in classification) at once")
    outputs: Literal["labels", "probabilities", "attention", "gradients", "mutagenesis"] = Field(
        "labels", description="the last three: what a network of sequences looks at, base by base"
    )
    engine: Literal["data", "serve"] = Field(
        "data", description="a pool of Ray Data's, or the replicas that serve the model"
    )

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but how it is computed."""
        return super().kept() - {"overlap", "tta", "precision", "batch"}
