"""Proteins as arrays: their residues as letters, a byte each, and what tells one from another."""

import re
from hashlib import sha256

from medray.errors import DataError
from medray.storage.shards.schema import ArraySpec, Axis

RESIDUES = "residues"
RESIDUE_ARRAY = ArraySpec((Axis("residue"),), ("uint8",), chunk=(2**16,), ragged=True)
FIRST, LETTERS = ord("A"), 26  # 20 amino acids, U, O, and B, Z, J, X for what is not known
DIGITS = 16

_LETTERS = re.compile(r"[A-Z]+")


def residues(sequence: str, most: int) -> bytes:
    """One-letter codes of residues in upper case, without a stop behind them.

    Args:
        sequence: as it was given.
        most: residues that a protein may have.

    Raises:
        DataError: there are none ("no-sequence"), too many ("sequence-too-long"), or something
            else among them ("no-residues").
    """
    letters = sequence.strip().removesuffix("*").upper()
    if not letters:
        raise DataError("there is no sequence", code="no-sequence")
    if len(letters) > most:
        raise DataError(f"the protein has {len(letters)} residues", code="sequence-too-long")
    if not _LETTERS.fullmatch(letters):
        raise DataError("the sequence holds what is no residue", code="no-residues")
    return letters.encode()


def sequence_id(letters: bytes) -> str:
    """What equal sequences share, whatever the proteins are called: SHA-256, 16 hex digits."""
    return sha256(letters).hexdigest()[:DIGITS]
