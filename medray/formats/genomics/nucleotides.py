"""Letters of sequences: which are nucleotides, and what is said of those that are not."""

from medray.errors import DataError

# IUPAC-IUB 1984: four bases, U of RNA, and eleven letters for those that were not told apart.
BASES = b"ACGTUacgtu"
AMBIGUOUS = b"NRYSWKMBDHVnryswkmbdhv"
MIN_PEPTIDE = 20  # letters; fewer may be a motif in IUPAC's letters
_PROTEIN = b"EFILPQXZJO*efilpqxzjo"  # amino acids that share no letter with a nucleotide


def ambiguous(letters: bytes) -> int:
    """How many of the letters name no single base: N, R, Y, ….

    Raises:
        DataError: some are no nucleotides: "protein" if they are amino acids, else "bad-letter".
    """
    others = letters.translate(None, BASES)
    bad = others.translate(None, AMBIGUOUS)
    if bad:
        proteins = len(bad) - len(bad.translate(None, _PROTEIN))
        if proteins == len(bad):
            raise DataError(
                "the sequence is a protein's: only nucleotides are read", code="protein"
            )
        raise DataError(f"{len(bad)} letters of the sequence are no nucleotides", code="bad-letter")
    # Amino acids share most of their letters with nucleotides: a peptide may hold no other.
    odd = len(others) - others.count(b"N") - others.count(b"n")
    if len(letters) >= MIN_PEPTIDE and 2 * odd > len(letters):
        raise DataError("the sequence is a protein's: only nucleotides are read", code="protein")
    return len(others)
