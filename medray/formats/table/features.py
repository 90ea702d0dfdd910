"""Which columns of a table are features, and what numbers its cells make."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medray.formats.tabular.numbers import MISSING, numbers

_TURNED = str.maketrans(".,", ",.")


@dataclass(frozen=True)
class Written:
    """How a table of text writes numbers.

    Args:
        decimal: point or comma.
        values: texts that stand for numbers; None: for none.
    """

    decimal: str = "."
    values: Mapping[str, float | None] = field(default_factory=dict)

    def plain(self, cell: str) -> str:
        """A number with a decimal point, or whatever else stands there.

        Where a comma is the decimal point, a point is none: 2.000 is two thousand, or a mistake.
        """
        text = cell.strip()
        if text in self.values:
            value = self.values[text]
            return "" if value is None else repr(value)
        return text.translate(_TURNED) if self.decimal == "," else text

    def numbers(self, cells: Sequence[str]) -> np.ndarray:
        """As of `tabular.numbers`.

        Raises:
            ValueError: as there.
        """
        plain = self.decimal == "." and not self.values
        return numbers(cells if plain else list(map(self.plain, cells)))


@dataclass(frozen=True)
class Known:
    """What the options say of columns.

    Args:
        columns: that are no features.
        categories: feature that holds words → all words that it may hold.
        unseen: whether other words have a column of their own; else they are bad values.
        numbers: features of numbers, whatever a file says of them.
        written: how texts write numbers.
    """

    columns: Collection[str] = ()
    categories: Mapping[str, tuple[str, ...]] | None = None
    unseen: bool = False
    numbers: Collection[str] = ()
    written: Written = Written()


class Features:
    """The features of a table, in the order of its columns.

    A column of words is one column of 0 and 1 for each of them, of two words for the second alone;
    where a cell is blank all of them are NaN.

    Args:
        columns: all names.
        known: what the options say of them.
        told: categories that the file itself says; those of the options go before.
    """

    def __init__(
        self,
        columns: Sequence[str],
        known: Known,
        told: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._categories = {
            name: words for name, words in (told or {}).items() if name not in known.numbers
        } | dict(known.categories or {})
        self._unseen = known.unseen
        self._numbers = known.written.numbers
        self.places = [at for at, name in enumerate(columns) if name not in known.columns]
        self.words = [self._categories.get(columns[at]) for at in self.places]
        self._plain = not any(words is not None for words in self.words)
        self.names: tuple[str, ...] = tuple(
            name
            for at, words in zip(self.places, self.words, strict=True)
            for name in self._named(columns[at], words)
        )

    def of(self, cells: Sequence[str]) -> np.ndarray:
        """Float32 (features,) of a row's cells, NaN where a value is missing.

        Raises:
            ValueError: a cell is no finite number, or a word that is not known; its place is the
                argument.
        """
        if self._plain:
            try:
                return self._numbers([cells[at] for at in self.places])
            except ValueError as error:
                raise ValueError(self.places[error.args[0]]) from error
        made: list[np.ndarray] = []
        for at, words in zip(self.places, self.words, strict=True):
            cell = cells[at]
            try:
                made.append(self._numbers([cell]) if words is None else self.coded(cell, words))
            except ValueError as error:
                raise ValueError(at) from error
        return np.concatenate(made)

    def width(self, words: tuple[str, ...] | None) -> int:
        """How many numbers a column makes."""
        return 1 if words is None else len(_shown(words)) + self._unseen

    def _named(self, column: str, words: tuple[str, ...] | None) -> list[str]:
        if words is None:
            return [column]
        shown = _shown(words)
        return [*(f"{column}={word}" for word in shown), *([f"{column}=other"] * self._unseen)]

    def coded(self, cell: str, words: tuple[str, ...]) -> np.ndarray:
        """Float32 (width,) of a cell of words.

        Raises:
            ValueError: the word is not known.
        """
        word, shown = cell.strip(), _shown(words)
        if word not in words and word in MISSING:
            return np.full(self.width(words), np.nan, np.float32)
        made = np.zeros(self.width(words), np.float32)
        if word in shown:
            made[shown.index(word)] = 1
        elif word not in words:
            if not self._unseen:
                raise ValueError(word)
            made[-1] = 1
        return made


def _shown(words: tuple[str, ...]) -> tuple[str, ...]:
    """Those that have a column: of two one says it all."""
    return words[1:] if len(words) == 2 else words
