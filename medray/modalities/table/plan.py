"""What training and prediction need to know of tables."""

from typing import Literal

from pydantic import Field

from medray.data.columns import ColumnPlan, Columns
from medray.modalities.plan import Plan, PlanOptions


class TablePlanOptions(PlanOptions):
    """What of it a job may fix."""

    blend: tuple[str, ...] | None = Field(
        None, description="baselines that answer with the network: the mean of all"
    )


class TablePlan(Plan):
    """The plan of a training on tables."""

    modality: Literal["table"] = "table"
    columns: dict[str, ColumnPlan] = Field(description="of each array of features, by its name")
    blend: tuple[str, ...] = Field((), description="baselines that answer with the network")

    @property
    def widths(self) -> dict[str, int]:
        """Features of each modality."""
        return {name: len(columns.mean) for name, columns in self.columns.items()}

    def scalers(self) -> dict[str, Columns]:
        """How features are scaled, by the name of their array."""
        return {name: one.columns for name, one in self.columns.items()}
