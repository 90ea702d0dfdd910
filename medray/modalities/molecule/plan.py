"""What training and prediction need to know of molecules."""

from typing import Any, Literal

from pydantic import Field

from medray.data.columns import ColumnPlan
from medray.modalities.plan import Plan


class MoleculePlan(Plan):
    """The plan of a training on molecules."""

    modality: Literal["molecule"] = "molecule"
    graph: bool = Field(description="whether the network reads atoms and bonds")
    reading: dict[str, Any] = Field(
        {}, description="options that compounds were read with, where they decide what is read"
    )
    widths: dict[str, int] = Field(description="columns of what it reads beside the graph")
    descriptors: ColumnPlan | None = Field(
        None, description="how descriptors are imputed and scaled, where the network reads them"
    )
