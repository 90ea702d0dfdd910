"""Compounds read by RDKit: texts to graphs and what else is asked for, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medray.errors import DataError
from medray.formats.molecules.graph import Graphs
from medray.storage.shards.rows import EndToEnd

if TYPE_CHECKING:
    from rdkit.Chem import Mol

DERIVED = ("canonical", "scaffold", "inchikey")


@dataclass
class Parsed:
    """What was made of some texts.

    Args:
        taken: numbers of those that are compounds, ascending.
        texts: of each of those, by column: canonical SMILES, scaffold, InChIKey.
        arrays: of all of those, end to end.
        refused: number of each other one: code and reason.
    """

    taken: list[int] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    arrays: dict[str, EndToEnd] = field(default_factory=dict)
    refused: dict[int, tuple[str, str]] = field(default_factory=dict)


class Reader:
    """Reads SMILES, and remembers what atoms look like.

    Args:
        asked: fields of `MoleculeOptions`.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        from rdkit import RDLogger

        RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # it quotes what it reads
        self._asked = asked
        self._graphs = Graphs()
        self._wanted = [name for name in DERIVED if asked[name]]

    def read(self, texts: Sequence[str]) -> Parsed:
        """All of them, one after the other."""
        parsed = Parsed(texts={name: [] for name in self._wanted})
        for number, text in enumerate(texts):
            try:
                for name, value in self._one(text).items():
                    parsed.texts[name].append(value)
            except DataError as error:
                parsed.refused[number] = error.code, error.message
            else:
                parsed.taken.append(number)
        if parsed.taken:
            parsed.arrays = self._graphs.take()
        return parsed

    def _one(self, text: str) -> dict[str, str]:
        from rdkit.Chem import MolFromSmiles

        if not text:
            raise DataError("there is no SMILES", code="no-molecule")
        if len(text) > self._asked["max_characters"]:
            raise DataError(f"the SMILES has {len(text)} characters", code="too-long")
        molecule = MolFromSmiles(text)
        if molecule is None:
            raise DataError("RDKit can't read the SMILES", code="unreadable")
        count = molecule.GetNumAtoms()
        if not count:
            raise DataError("the SMILES has no atom", code="no-molecule")
        if count > self._asked["max_atoms"]:
            raise DataError(f"the compound has {count} atoms", code="too-many-atoms")
        made = self._derived(molecule)
        self._graphs.add(molecule, text)
        return made

    def _derived(self, molecule: "Mol") -> dict[str, str]:
        from rdkit.Chem import MolToSmiles, MurckoDecompose
        from rdkit.Chem.rdinchi import MolToInchiKey

        made: dict[str, str] = {}
        if "canonical" in self._wanted:
            made["canonical"] = MolToSmiles(molecule)
        if "scaffold" in self._wanted:
            found = MolToSmiles(MurckoDecompose(molecule), isomericSmiles=False)
            made["scaffold"] = found or made.get("canonical") or MolToSmiles(molecule)
        if "inchikey" in self._wanted:
            made["inchikey"] = MolToInchiKey(molecule)
        return made
