"""Molfiles read by RDKit, as `reading` reads SMILES."""

from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.molecules.graph import COORDINATES
from medray.formats.molecules.reading import Reader


class Records(Reader):
    """Reads molfiles; writes the SMILES of each, and where it lies if that is asked for."""

    def __init__(self, asked: dict[str, Any]) -> None:
        super().__init__(asked)
        self._columns.insert(0, "smiles")
        if asked["coordinates"]:
            self._more[COORDINATES] = []

    def _one(self, text: str) -> dict[str, str | None]:
        from rdkit.Chem import MolFromMolBlock, MolToSmiles

        if not text:
            raise DataError("there is no molfile", code="no-molecule")
        molecule = MolFromMolBlock(text)
        if molecule is None:
            raise DataError("RDKit can't read the molfile", code="unreadable")
        smiles = MolToSmiles(molecule)
        places = np.zeros((0, 3), np.float32)
        if COORDINATES in self._more:
            places = molecule.GetConformer().GetPositions().astype(np.float32)
        made = self._made(molecule, smiles)
        if COORDINATES in self._more:
            self._more[COORDINATES].append(places)
        return {"smiles": smiles, **made}
