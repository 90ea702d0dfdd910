"""SMILES read as far as a graph needs."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

# Stereo, bonds other than 1, 2, 3 and aromatic, what stands behind a SMILES, and hydrogens that are
# to be atoms or not.
_WHOLE = re.compile(r"[@/\\~$<>|\s]|\[\d*H")


def graph_parser() -> "Callable[[str], Mol | None]":
    """As `MolFromSmiles`, for `Graphs` alone: None of what can't be read.

    Of a text that says nothing of stereo and has no hydrogen as an atom, hydrogens are not looked
    for, and neither stereo nor conjugation nor hybridisation, which no graph has: 100 us of a
    compound of HIV, and not 132.
    """
    from rdkit.Chem import MolFromSmiles, SanitizeFlags, SanitizeMol, SmilesParserParams

    params = SmilesParserParams()
    params.sanitize = False  # type: ignore[assignment]  # RDKit says that it is its own type
    params.removeHs = False  # type: ignore[assignment]
    left_out = (
        SanitizeFlags.SANITIZE_SETCONJUGATION
        | SanitizeFlags.SANITIZE_SETHYBRIDIZATION
        | SanitizeFlags.SANITIZE_CLEANUPCHIRALITY
        | SanitizeFlags.SANITIZE_CLEANUPATROPISOMERS
    )
    steps = int(SanitizeFlags.SANITIZE_ALL) & ~int(left_out)
    whole = _WHOLE.search

    def parse(text: str) -> "Mol | None":
        if whole(text):
            return MolFromSmiles(text)
        molecule = MolFromSmiles(text, params)
        if molecule is None or SanitizeMol(molecule, steps, True):  # True: it raises nothing
            return None
        return molecule

    return parse
