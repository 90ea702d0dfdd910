"""Texts to tokens with exact places, and tokens to numbers: the vocabulary that a package holds."""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from medray.models.text.base import HASHES, LONGEST, PADDING, UNKNOWN, WORDS

MOST_WORDS = 200_000  # of a vocabulary
MOST_FORMS = 100_000  # that are kept while samples pass by
_TOKEN = re.compile(r"[^\W_]+|\S")
_DIGIT = re.compile(r"\d")
_SHAPES = ((re.compile(r"[A-Z]"), "A"), (re.compile(r"[a-z]"), "a"), (_DIGIT, "0"))
_RUNS = re.compile(r"(.)\1+")


class Token(NamedTuple):
    """A run of letters and digits, or any other character that is no blank, and where it stands."""

    text: str
    begin: int
    end: int


def split(text: str) -> list[Token]:
    """A text's tokens in order; what is between two of them is blank."""
    return [Token(one[0], one.start(), one.end()) for one in _TOKEN.finditer(text)]


def normal(token: str) -> str:
    """A token as the vocabulary has it: in lower case, digits as 0."""
    return _DIGIT.sub("0", token.lower())


def vocabulary(texts: Iterable[str], least: int) -> tuple[tuple[str, ...], str]:
    """Words that come often enough, the most frequent first, and every letter.

    Args:
        texts: of the training.
        least: times that a word has to come.
    """
    words, letters = Counter[str](), Counter[str]()
    for text in texts:
        found = _TOKEN.findall(text)
        words.update(map(normal, found))
        letters.update("".join(found))
    kept = [word for word, count in words.most_common(MOST_WORDS) if count >= least]
    kept.sort(key=lambda word: (-words[word], word))
    # 255 is the most that a byte counts; of more letters the rarest are unknown.
    often = sorted(letters, key=lambda letter: (-letters[letter], letter))[: 255 - UNKNOWN]
    return tuple(kept), "".join(often)


class Codec:
    """Tokens to numbers; forms (tokens as they are written) are numbered as they come.

    Args:
        words: of the vocabulary.
        letters: that are known.
    """

    def __init__(self, words: Sequence[str], letters: str) -> None:
        self._words = {word: at for at, word in enumerate(words, start=WORDS)}
        self._letters = {letter: at for at, letter in enumerate(letters, start=UNKNOWN + 1)}
        self.forms = Forms(self)

    def word(self, token: str) -> int:
        """The number of a token's word."""
        return self._words.get(normal(token), UNKNOWN)

    def spelt(self, token: str) -> np.ndarray:
        """A token's letters, uint8 (LONGEST,)."""
        kept = token
        if len(token) > LONGEST:
            kept = token[: LONGEST // 2] + token[-LONGEST // 2 :]
        made = np.full(LONGEST, PADDING, np.uint8)
        made[: len(kept)] = [self._letters.get(letter, UNKNOWN) for letter in kept]
        return made


class Forms:
    """Tokens as they are written, each numbered and looked at once.

    Args:
        codec: that numbers words and letters.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._numbers: dict[str, int] = {}
        self._tokens: list[str] = []
        self._rows: dict[str, list[np.ndarray]] = {"characters": [], "features": []}
        self._words: list[int] = []

    def number(self, tokens: Sequence[str]) -> np.ndarray:
        """Numbers of forms, int32 (tokens,)."""
        known = self._numbers
        made = np.empty(len(tokens), np.int32)
        for at, token in enumerate(tokens):
            number = known.get(token)
            if number is None:
                number = known[token] = len(self._tokens)
                self._tokens.append(token)
                self._words.append(self._codec.word(token))
            made[at] = number
        return made

    @property
    def full(self) -> bool:
        """Whether so many are kept that they should be forgotten."""
        return len(self._tokens) > MOST_FORMS

    def words(self, numbers: np.ndarray) -> np.ndarray:
        """Words of forms, int32, of the same shape."""
        made: np.ndarray = np.array(self._words, np.int32)[numbers]
        return made

    def characters(self, numbers: np.ndarray) -> np.ndarray:
        """Letters of forms, uint8 (forms, LONGEST)."""
        rows = self._rows["characters"]
        rows += [self._codec.spelt(token) for token in self._tokens[len(rows) :]]
        return np.stack([rows[at] for at in numbers.tolist()])

    def features(self, numbers: np.ndarray) -> np.ndarray:
        """Hashes of forms' properties, int32 (forms, FEATURES)."""
        rows = self._rows["features"]
        rows += [hashed(_properties(token)) for token in self._tokens[len(rows) :]]
        return np.stack([rows[at] for at in numbers.tolist()])


FEATURES = 12


def _properties(token: str) -> list[str]:
    """What a classical tagger looks at: word, prefixes, suffixes, shape (as in Nadeau and Sekine
    2007)."""
    low, shape = token.lower(), token
    for pattern, mark in _SHAPES:
        shape = pattern.sub(mark, shape)
    ends = [f"p{low[:n]}" for n in (1, 2, 3, 4)] + [f"s{low[-n:]}" for n in (1, 2, 3, 4)]
    return [f"w{low}", f"f{token}", f"h{shape}", f"r{_RUNS.sub(chr(92) + '1', shape)}", *ends]


def hashed(names: Iterable[str]) -> np.ndarray:
    """Numbers below HASHES of names, int32: by the name alone."""
    return np.array([_hash(name) for name in names], np.int32)


@lru_cache(maxsize=2**18)
def _hash(name: str) -> int:
    return zlib.crc32(name.encode()) % HASHES
