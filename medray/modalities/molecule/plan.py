"""What training and prediction need to know of molecules."""

from typing import Any, Literal

from pydantic import Field

from medray.data.columns import ColumnPlan
from medray.modalities.plan import Plan, PlanOptions, PredictOptions

NEAREST, ATTRIBUTIONS = "nearest", "attributions"  # options, and columns that they add


class MoleculePredictOptions(PredictOptions):
    """How models of molecules may be asked."""

    nearest: bool = Field(
        False, description="add the Tanimoto similarity of the nearest compound learnt from"
    )
    attributions: bool = Field(
        False, description="add what each atom has to do with the answer, of up to 120 atoms"
    )


class MoleculePlanOptions(PlanOptions):
    """What answers beside the network."""

    blend: tuple[str, ...] | None = Field(
        None, description="baselines that answer with the network: the mean of all"
    )


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
    described: bool = Field(
        False, description="whether samples have descriptors, which baselines read then"
    )
    blend: tuple[str, ...] = Field((), description="baselines that answer with the network")
