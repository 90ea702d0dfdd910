"""Texts to tokens with exact places, and tokens to numbers: the vocabulary that a package holds."""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from medray.data.vectors import SPECIAL
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.spoken import written
from medray.models.text.base import HASHES, LONGEST, PADDING, UNKNOWN, WORDS

MOST_WORDS = 200_000  # of a vocabulary
MOST_FORMS = 100_000  # that are kept while samples pass by
_NEW, _BLANK, _RUN, _ALONE = range(4)
_KINDS = np.zeros(0x110000, np.uint8)  # of letters, each looked at when it first comes
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
    tokens, begins, ends = cut(text)
    return [*map(Token, tokens, begins.tolist(), ends.tolist())]


def cut(text: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The tokens, and where each begins and ends, int64: by columns, a third of the time that an
    expression takes."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _KINDS[codes]
    new = codes[kinds == _NEW]
    if len(new):
        for code in np.unique(new).tolist():
            letter = chr(code)
            _KINDS[code] = _BLANK if letter.isspace() else _RUN if letter.isalnum() else _ALONE
        kinds = _KINDS[codes]
    run, alone = np.zeros(len(kinds) + 2, bool), kinds == _ALONE
    run[1:-1] = kinds == _RUN
    begins = np.flatnonzero(alone | (run[1:-1] & ~run[:-2]))
    ends = np.flatnonzero(alone | (run[1:-1] & ~run[2:])) + 1
    pairs = zip(begins.tolist(), ends.tolist(), strict=True)
    return [text[begin:end] for begin, end in pairs], begins, ends


def normal(token: str) -> str:
    """A token as the vocabulary has it: in lower case, digits as 0."""
    return _DIGIT.sub("0", token.lower())


def vocabulary(
    texts: Iterable[str], least: int, *, spoken: bool = False
) -> tuple[tuple[str, ...], str]:
    """Words that come often enough, the most frequent first, and every letter.

    Args:
        texts: of the training.
        least: times that a word has to come.
        spoken: whether what is spelled out counts as it is written.
    """
    words, letters = Counter[str](), Counter[str]()
    for text in texts:
        found = written(*cut(text))[0] if spoken else cut(text)[0]
        words.update(map(normal, found))
        letters.update("".join(found))
    kept = [word for word, count in words.most_common(MOST_WORDS) if count >= least]
    kept.sort(key=lambda word: (-words[word], word))
    # 255 is the most that a byte counts; of more letters the rarest are unknown.
    often = sorted(letters, key=lambda letter: (-letters[letter], letter))[: 255 - UNKNOWN]
    return tuple(kept), "".join(often)


def rows_of(plan: TextPlan) -> dict[str, tuple[str, ...]]:
    """What rows of the networks' tables stand for, see Worded."""
    words = (*(f"{SPECIAL}{at}" for at in range(WORDS)), *plan.words)
    letters = (*(f"{SPECIAL}{at}" for at in range(UNKNOWN + 1)), *plan.letters)
    made = {"words.weight": words, "alone.weight": words, "letters.weight": letters}
    if plan.writes:
        pieces = (f"{SPECIAL}end", *(one.lower() for one in plan.writes))
        made |= {"head.weight": pieces, "head.bias": pieces}
    return made


class Codec:
    """Tokens to numbers; forms (tokens as they are written) are numbered as they come.

    Args:
        words: of the vocabulary.
        letters: that are known.
    """

    def __init__(self, words: Sequence[str], letters: str) -> None:
        self._words = {word: at for at, word in enumerate(words, start=WORDS)}
        self._letters = np.full(0x110000, UNKNOWN, np.uint8)  # by code point
        for at, letter in enumerate(letters, start=UNKNOWN + 1):
            self._letters[ord(letter)] = at
        self.forms = Forms(self)

    def words(self, tokens: Sequence[str]) -> np.ndarray:
        """Numbers of tokens' words, int32 (tokens,); no token holds a line end."""
        if not tokens:
            return np.zeros(0, np.int32)
        told = normal("\n".join(tokens)).split("\n")  # at once: a fifth of the time
        return np.array([self._words.get(word, UNKNOWN) for word in told], np.int32)

    def spelt(self, tokens: Sequence[str]) -> np.ndarray:
        """Tokens' letters, uint8 (tokens, LONGEST); of longer ones the first and the last."""
        half = LONGEST // 2
        kept = [one if len(one) <= LONGEST else one[:half] + one[-half:] for one in tokens]
        lengths = np.array([len(one) for one in kept], np.int64)
        codes = np.frombuffer("".join(kept).encode("utf-32-le", "surrogatepass"), np.uint32)
        made = np.full((len(kept), LONGEST), PADDING, np.uint8)
        made[np.arange(LONGEST) < lengths[:, None]] = self._letters[codes]
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
        self._tables: dict[str, np.ndarray] = {}

    def number(self, tokens: Sequence[str]) -> np.ndarray:
        """Numbers of forms, int32 (tokens,)."""
        known = self._numbers
        try:
            return np.fromiter(map(known.__getitem__, tokens), np.int32, len(tokens))
        except KeyError:
            for token in tokens:
                if token not in known:
                    known[token] = len(self._tokens)
                    self._tokens.append(token)
            return self.number(tokens)

    @property
    def full(self) -> bool:
        """Whether so many are kept that they should be forgotten."""
        return len(self._tokens) > MOST_FORMS

    def words(self, numbers: np.ndarray) -> np.ndarray:
        """Words of forms, int32, of the same shape."""
        made: np.ndarray = self._table("words", self._codec.words)[numbers]
        return made

    def characters(self, numbers: np.ndarray) -> np.ndarray:
        """Letters of forms, uint8 (forms, LONGEST)."""
        made: np.ndarray = self._table("letters", self._codec.spelt)[numbers]
        return made

    def features(self, numbers: np.ndarray) -> np.ndarray:
        """Hashes of forms' properties, int32 (forms, FEATURES)."""
        made: np.ndarray = self._table("features", featured)[numbers]
        return made

    def _table(self, name: str, make: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
        """What is made of each form, so far as there are some."""
        known = self._tables.get(name)
        done = 0 if known is None else len(known)
        if known is None or done < len(self._tokens):
            new = make(self._tokens[done:])
            known = self._tables[name] = new if known is None else np.concatenate([known, new])
        return known


FEATURES = 12


def featured(tokens: Sequence[str]) -> np.ndarray:
    """Hashes of tokens' properties, int32 (tokens, FEATURES)."""
    each = [hashed(_properties(token)) for token in tokens]
    return np.array(each, np.int32).reshape(-1, FEATURES)


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
