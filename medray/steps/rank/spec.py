"""Rank: the best samples of a dataset by a column of numbers."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import StepSpec


class RankSpec(StepSpec):
    """The best samples of a dataset by a column of numbers; equal ones go by their ids."""

    kind: Literal["rank"]
    data: Reference
    by: str = Field(description="column of numbers; a sample without one has no rank")
    best: Literal["largest", "smallest"] = "largest"
    count: int = Field(1000, ge=1, le=1_000_000, description="samples that are kept")
    output: Name
