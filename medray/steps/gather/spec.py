"""Gather: parts of subjects to whole subjects."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Name, Reference
from medray.spec.step import StepSpec


class GatherSpec(StepSpec):
    """Parts of subjects, as formats of records read them, to whole subjects: a sample each."""

    kind: Literal["gather"]
    data: Reference
    output: Name
    shards: int | None = Field(
        None, ge=1, le=100_000, description="of subjects; null: one for each 32 MiB of the data"
    )
