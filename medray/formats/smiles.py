"""Compounds as SMILES in tables, a row each: CSV, TSV, .smi and Parquet."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from medray.formats.base import FormatOptions
from medray.formats.molecules import parquet, text
from medray.formats.molecules.block import Block, Slice
from medray.formats.molecules.compounds import Compounds
from medray.formats.molecules.options import MoleculeOptions
from medray.formats.tabular.text import mind_the_end

__all__ = ["Smiles"]


class SmilesOptions(MoleculeOptions):
    """Where SMILES stand, and what stands beside them."""

    smiles: str = Field("smiles", description="column of the SMILES")


class Smiles(Compounds):
    """A compound a row: its SMILES as it stands there, what RDKit makes of it, and its graph."""

    name: ClassVar[str] = "smiles"
    Options: ClassVar[type[FormatOptions]] = SmilesOptions
    suffixes: ClassVar[tuple[str, ...]] = (*text.SUFFIXES, *parquet.SUFFIXES)
    reader: ClassVar[str] = "medray.formats.molecules.reading:Reader"
    keeps: ClassVar[bool] = True
    options: SmilesOptions

    @property
    def given(self) -> str:
        """The column of SMILES."""
        return self.options.smiles

    def survey(self, path: Path) -> tuple[Sequence[str] | None, list[Slice]]:
        """By line ends, or the footer of Parquet; see `text` and `parquet`."""
        if _is_parquet(path):
            return parquet.survey(path)
        mind_the_end(path, path.name)
        return text.survey(path, self.options.smiles)

    def blocks(
        self, path: Path, extra: Mapping[str, Any], wanted: Sequence[str] | None
    ) -> Iterator[Block]:
        """Some hundred rows at a time; see `text` and `parquet`."""
        if _is_parquet(path):
            return parquet.blocks(path, extra, wanted)
        return text.blocks(path, extra, wanted)


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(parquet.SUFFIXES)
