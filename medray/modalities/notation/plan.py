"""What training and drawing need to know of line notations."""

from typing import Literal

from pydantic import Field

from medray.modalities.plan import Plan, PlanOptions


class NotationPlan(Plan):
    """The plan of a training on line notations; its classes are the vocabulary."""

    modality: Literal["notation"] = "notation"
    column: str = Field(description="of the texts")
    longest: int = Field(ge=1, description="tokens of the longest training text")


class NotationPlanOptions(PlanOptions):
    """Which texts are learnt."""

    column: str = Field("canonical", description="of the texts")
