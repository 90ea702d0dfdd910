"""Transform: a dataset to a dataset, by a plugin."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Name, Plugin, Reference
from medray.spec.step import StepSpec, Where


class TransformSpec(StepSpec):
    """A dataset to a dataset: beats of records, windows, quality control, and what plugins add."""

    kind: Literal["transform"]
    data: Reference
    operation: Plugin
    using: dict[str, Reference] = Field(
        {}, description="further datasets that the operation looks things up in, by role"
    )
    select: Where = Field({}, description="only samples whose columns have these values")
    output: Name

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but the plugin's options."""
        return super().kept() - {"operation"}
