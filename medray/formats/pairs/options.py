"""What can be said of pairs of compounds and proteins, and what a dataset of them holds."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medray.formats.base import FormatOptions
from medray.formats.molecules.graph import GRAPH
from medray.formats.molecules.options import Kept, MoleculeOptions
from medray.formats.molecules.residues import RESIDUE_ARRAY, RESIDUES
from medray.formats.molecules.standard import Part

Scale = Literal["nM", "p"]
AFFINITY, SEQUENCE_ID = "affinity", "sequence_id"  # columns
COMPOUND = {name: f"compound_{name}" for name in GRAPH}
"""What an array of molecules is called here."""
ARRAYS = {**{COMPOUND[name]: spec for name, spec in GRAPH.items()}, RESIDUES: RESIDUE_ARRAY}
OWN = frozenset(
    {"sample_id", "compound", "protein", "smiles", "canonical", "scaffold", "standardised"}
    | {SEQUENCE_ID, AFFINITY, "part", "fold", "split"}
)


class PairsOptions(FormatOptions):
    """Where compounds, proteins and values stand."""

    scale: Literal["auto"] | Scale = Field(
        "auto",
        description="of the values: nM: of a Kd, Ki or IC50 in nanomol/l, which becomes 9 - log10 "
        "of it; p: they are taken as they are; auto: of a matrix, nM where a value is above 30",
    )
    compounds: str = Field(
        "ligands_can.txt", description="of a folder with a matrix: JSON, id to SMILES, in the rows"
    )
    proteins: str = Field("proteins.txt", description="likewise: id to sequence, in the columns")
    matrix: str | None = Field(
        None, description="likewise: its name; null: the one text that has as many rows and columns"
    )
    folds: str = Field(
        "folds", description="likewise: folder with lists of positions, train… and test…"
    )
    numbering: Literal["auto", "measured", "matrix"] = Field(
        "auto",
        description="what those positions count: values that are measured, or cells; auto: what "
        "fits alone",
    )
    smiles: str = Field("smiles", description="of a table: column of the SMILES")
    sequence: str = Field("sequence", description="of a table: column of the protein's sequence")
    value: str | None = Field(
        AFFINITY,
        description="of a table: column of the value, null where a cell is blank; null: none",
    )
    compound: str | None = Field(None, description="of a table: column that names the compound")
    protein: str | None = Field(None, description="of a table: column that names the protein")
    columns: dict[str, Kept] = Field(
        {}, description="of a table: other columns to keep, and what they hold"
    )
    standardise: tuple[Part, ...] = Field((), description="of compounds, as of `smiles`")
    max_characters: int = Field(1000, gt=0, description="refuse longer SMILES")
    max_atoms: int = Field(500, gt=0, le=65535, description="refuse larger compounds")
    max_residues: int = Field(50_000, gt=0, description="refuse longer proteins")
    row_seconds: float = Field(
        5.0, gt=0, description="what RDKit may take for one compound, which is refused then"
    )
    max_refused: int = Field(
        10_000, ge=0, description="refused pairs of one slice, above which all of it is refused"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if taken := OWN & self.columns.keys():
            raise ValueError(f"a column {min(taken)!r} is made here: rename that of the table")
        return self

    @property
    def reading(self) -> MoleculeOptions:
        """How compounds are read."""
        return MoleculeOptions(
            max_characters=self.max_characters,
            max_atoms=self.max_atoms,
            row_seconds=self.row_seconds,
            standardise=self.standardise,
        )
