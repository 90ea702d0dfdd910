"""What training and prediction need to know of pairs."""

from typing import Any, Literal

from pydantic import Field

from medray.modalities.plan import Plan, PlanOptions

RESIDUES = 1000  # that are read of a protein, unless the job says; as DeepDTA has it


class PairPlanOptions(PlanOptions):
    """What a job may fix."""

    residues: int | None = Field(
        None, ge=1, description=f"of a protein that are read, from its first on; null: {RESIDUES}"
    )


class PairPlan(Plan):
    """The plan of a training on pairs."""

    modality: Literal["pair"] = "pair"
    residues: int = Field(description="of a protein that are read, from its first on")
    reading: dict[str, Any] = Field(
        {}, description="options that compounds were read with, where they decide what is read"
    )
