"""Export: a dataset to files, outside of storage."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Name, Plugin, Reference
from medray.spec.step import StepSpec, Where


class ExportSpec(StepSpec):
    """A dataset to files, outside of storage."""

    incidental = StepSpec.incidental | {"to"}

    kind: Literal["export"]
    data: Reference
    images: Reference | None = Field(
        None, description="dataset the predictions were made of; null: as recorded with them"
    )
    select: Where = Field({}, description="only samples whose columns have these values")
    format: Plugin
    to: str = Field(description="folder to write to, or s3://bucket/prefix")
    output: Name | None = Field(None, description="dataset that records what was written")

    @property
    def output_name(self) -> str:
        """Of the dataset that records what was written."""
        return self.output or f"{self.data.partition('@')[0]}-{self.format.name.replace('_', '-')}"

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but how files are written."""
        return super().kept() - {"format"}
