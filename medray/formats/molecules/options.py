"""What can be said of compounds, whatever file they come in."""

from typing import Literal

from pydantic import Field

from medray.formats.base import FormatOptions
from medray.formats.molecules.graph import DESCRIPTORS, FINGERPRINT, GRAPH
from medray.formats.molecules.standard import Part
from medray.spec.base import Settings

Kept = Literal["text", "integer", "number"]
Kind = Kept | Literal["as it is"]
SMILES = "smiles"  # column of what was given, whatever it is called in the file
MADE = ("canonical", "scaffold", "inchikey", "selfies")  # columns, each by an option of its name


class Fingerprint(Settings):
    """Morgan fingerprints, folded."""

    radius: int = Field(2, ge=0, le=10)
    bits: int = Field(2048, ge=64, le=65536)


class MoleculeOptions(FormatOptions):
    """How compounds are read, and what is made of them."""

    id: str | None = Field(
        None, description="column that names a compound; null: its file and line or record do"
    )
    targets: tuple[str, ...] = Field(
        (), description="columns of numbers to be predicted; a blank is null, as not measured"
    )
    columns: dict[str, Kept] | None = Field(
        None, description="other columns to keep, and what they hold; null: all, of text as text"
    )
    max_characters: int = Field(1000, gt=0, description="refuse longer texts")
    max_atoms: int = Field(500, gt=0, le=65535, description="refuse larger compounds")
    row_seconds: float = Field(
        5.0, gt=0, description="what RDKit may take for one compound, which is refused then"
    )
    max_refused: int = Field(
        10_000, ge=0, description="refused rows of one slice, above which all of it is refused"
    )
    canonical: bool = Field(True, description="add the canonical SMILES, column `canonical`")
    scaffold: bool = Field(
        True, description="add the Murcko scaffold; of an acyclic compound its canonical SMILES"
    )
    inchikey: bool = Field(False, description="add the InChIKey: a hint, not a key")
    selfies: bool = Field(
        False, description="add SELFIES, column `selfies`; null of what these can't say"
    )
    standardise: tuple[Part, ...] = Field(
        (),
        description="fragment: the largest organic one that is no usual partner in salts; charge: "
        "neutral where protons make it so; isotopes, stereo: forgotten. The column `standardised` "
        "says which changed a compound",
    )
    fingerprint: Fingerprint | None = Field(
        None, description="add the array `fingerprint`: the bits that are on, ascending"
    )
    descriptors: bool = Field(
        False, description="add the array `descriptors`: all of RDKit's, at 25 to 100 a second"
    )

    @property
    def made(self) -> list[str]:
        """Names of the columns that RDKit makes."""
        several = [name for name in MADE if getattr(self, name)]
        return [*several, *(["standardised"] if self.standardise else [])]

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the arrays that are made."""
        extra = {FINGERPRINT: self.fingerprint is not None, DESCRIPTORS: self.descriptors}
        return frozenset({*GRAPH, *(name for name, wanted in extra.items() if wanted)})
