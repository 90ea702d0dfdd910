"""What can be said of compounds, whatever file they come in."""

from typing import Literal

from pydantic import Field, PositiveInt

from medray.formats.base import FormatOptions

Kind = Literal["text", "integer", "number"]
OWN = ("sample_id", "smiles", "canonical", "scaffold", "inchikey", "split", "fold")


class MoleculeOptions(FormatOptions):
    """How compounds are read, and what is made of them."""

    id: str | None = Field(
        None, description="column that names a compound; null: its file and line or record do"
    )
    targets: tuple[str, ...] = Field(
        (), description="columns of numbers to be predicted; a blank is null, as not measured"
    )
    columns: dict[str, Kind] | None = Field(
        None, description="other columns to keep, and what they hold; null: all, as text"
    )
    max_characters: PositiveInt = Field(1000, description="refuse longer SMILES")
    max_atoms: int = Field(500, gt=0, le=65535, description="refuse larger compounds")
    canonical: bool = Field(True, description="add the canonical SMILES, column `canonical`")
    scaffold: bool = Field(
        True, description="add the Murcko scaffold; of an acyclic compound its canonical SMILES"
    )
    inchikey: bool = Field(False, description="add the InChIKey: a hint, not a key")
