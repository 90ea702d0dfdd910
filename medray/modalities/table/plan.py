"""What training and prediction need to know of tables."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from medray.modalities.plan import Plan

if TYPE_CHECKING:
    from medray.modalities.table.cases import Columns


class ColumnPlan(BaseModel):
    """How the columns of a modality are imputed and scaled; see `cases.Columns`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    median: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class TablePlan(Plan):
    """The plan of a training on tables."""

    modality: Literal["table"] = "table"
    columns: dict[str, ColumnPlan] = Field(description="of each array of features, by its name")

    @property
    def widths(self) -> dict[str, int]:
        """Features of each modality."""
        return {name: len(columns.mean) for name, columns in self.columns.items()}

    def scalers(self) -> "dict[str, Columns]":
        """How features are scaled, by the name of their array."""
        from medray.modalities.table.cases import Columns

        return {
            name: Columns(*(np.asarray(part) for part in (one.median, one.mean, one.std)))
            for name, one in self.columns.items()
        }
