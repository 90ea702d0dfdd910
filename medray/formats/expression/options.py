"""What can be said of expression matrices."""

from typing import Literal

from pydantic import Field

from medray.formats.base import FormatOptions

FEATURES = "features"


class ExpressionOptions(FormatOptions):
    """How to read and write expression matrices."""

    genes: Literal["columns", "rows"] = Field(
        "columns", description="text: genes are columns, or lines whose first cell is their name"
    )
    layer: str = Field("X", description="h5ad: `X`, `raw`, or the name of a layer")
    names: Literal["id", "symbol"] = Field(
        "id", description="10x: what genes are called; tables and h5ad have one name each"
    )
    versions: Literal["strip", "keep"] = Field(
        "strip", description="Ensembl's versions of gene ids: ENSG00000161896.6 → ENSG00000161896"
    )
    feature_types: tuple[str, ...] = Field(
        ("Gene Expression",), description="10x: kinds of features to take; empty: all"
    )
    observations: tuple[str, ...] | None = Field(
        None, description="h5ad: columns of obs to keep; null: all. Text: columns that are no genes"
    )
    target: str | None = Field(None, description="column of obs that is to be predicted")
    classes: tuple[str, ...] = Field(
        (), description="names in the target column, as 0, 1, …; empty: as they are"
    )
    subject: str | None = Field(
        None, description="column of obs whose equal values never part; null: each cell alone"
    )
    max_genes: int = Field(1_000_000, gt=0, description="refuse wider matrices")
