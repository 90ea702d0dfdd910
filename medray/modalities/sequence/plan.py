"""What training and prediction need to know of sequences."""

from typing import Literal

from pydantic import Field

from medray.modalities.plan import Plan, PlanOptions

Align = Literal["left", "centre", "right"]
HOW = ("attention", "gradients", "mutagenesis")  # outputs that say what an answer hangs on


class SequencePlan(Plan):
    """The plan of a training on sequences."""

    modality: Literal["sequence"] = "sequence"
    length: int = Field(ge=1, description="bases that the network takes")
    align: Align = Field(
        "left", description="which end of a sequence of another length keeps its place"
    )


class SequencePlanOptions(PlanOptions):
    """Which bases of a sequence the network sees."""

    length: int | None = Field(
        None, ge=1, description="bases that the network takes; null: as the longest sequence"
    )
    align: Align = Field(
        "left", description="which end of a sequence of another length keeps its place"
    )
