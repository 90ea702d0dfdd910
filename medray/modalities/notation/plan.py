"""What training and drawing need to know of line notations."""

from typing import Literal

from pydantic import Field

from medray.modalities.plan import Plan, PlanOptions

Notation = Literal["smiles", "selfies"]
COLUMNS: dict[Notation, str] = {"smiles": "canonical", "selfies": "selfies"}


class NotationPlan(Plan):
    """The plan of a training on line notations; its classes are the vocabulary."""

    modality: Literal["notation"] = "notation"
    column: str = Field(description="of the texts")
    notation: Notation = Field("smiles", description="that they are in")
    longest: int = Field(ge=1, description="tokens of the longest training text")


class NotationPlanOptions(PlanOptions):
    """Which texts are learnt."""

    notation: Notation = Field("smiles", description="that the texts are in")
    column: str | None = Field(
        None, description="of the texts; null: canonical, and of SELFIES selfies"
    )
