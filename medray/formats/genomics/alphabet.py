"""Bases as codes: uint8, A C G T N = 0 1 2 3 4, and 5 where a batch is padded.

One lookup in a table of 256 entries each way, so a chromosome is encoded at the speed of memory.
"""

import numpy as np

PAD = 5  # beyond a sequence's end, in batches of unequal lengths
LETTERS = b"ACGTN"

_CODES = np.full(256, 4, np.uint8)
for _code, _base in enumerate(b"ACGT"):
    _CODES[[_base, _base | 0x20]] = _code
_CODES[[ord("U"), ord("u")]] = 3  # RNA: U pairs as T does

# A letter of several bases stands for the first of them (VCF 4.3, section 1.6.1: R → A).
_FIRSTS = np.zeros(256, np.uint8)
for _letters, _code in ((b"RWMDHV", 0), (b"YSB", 1), (b"K", 2)):
    for _base in _letters:
        _FIRSTS[[_base, _base | 0x20]] = 1 + _code

_LETTERS = np.full(256, ord("N"), np.uint8)
_LETTERS[:5] = np.frombuffer(LETTERS, np.uint8)
_LETTERS[PAD] = ord(".")


def encode(letters: bytes | str) -> np.ndarray:
    """Letters, of either case, to codes uint8 (L,); U is T, every other letter is N (4)."""
    raw = letters.encode("ascii", "replace") if isinstance(letters, str) else letters
    return _CODES[np.frombuffer(raw, np.uint8)]


def firsts(letters: bytes) -> np.ndarray:
    """Where a letter names several bases, but not all: 1 + the code of the first, else 0; (L,)."""
    return _FIRSTS[np.frombuffer(letters, np.uint8)]


def decode(codes: np.ndarray) -> str:
    """Codes uint8 (L,) to upper-case letters; PAD becomes a dot."""
    letters: bytes = _LETTERS[codes].tobytes()
    return letters.decode("ascii")


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """The other strand read in its own direction, uint8 (..., L); N and PAD stay what they are.

    PAD moves to the front with the rest, so sequences are turned before they are padded.
    """
    # 3 - code of a base is code ^ 3, 16 bases at a time; a lookup takes 5 times as long.
    turned = (codes < 4).view(np.uint8) * np.uint8(3)
    turned ^= codes
    return np.ascontiguousarray(turned[..., ::-1])
