"""What the samples of a dataset hold, and what a step needs of them, known before one is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from medray.errors import SpecError
from medray.storage.shards.schema import ANY, Arrays

Names = frozenset[str]


def names(*several: str | Iterable[str] | None) -> Names:
    """A set of names, of single ones and of many."""
    found: set[str] = set()
    for one in several:
        found |= {one} if isinstance(one, str) else set(one or ())
    return frozenset(found)


def named(arrays: Arrays) -> Names | None:
    """Names of declared arrays; None where only the data know them."""
    return None if ANY in arrays else frozenset(arrays)


# Columns with a meaning to medray, which a format has only where its options say so.
TOLD = names("sequence", "split", "fold", "target", "class_name", "value", "spacing_mm", "affine")


@dataclass(frozen=True)
class Holds:
    """What samples hold, as far as can be said before there are any; None: only the data know.

    Args:
        arrays: names of the arrays that a sample may have.
        columns: names of the columns that rows may have besides `sample_id`.
        lacks: columns that rows surely do not have, where not all of them are known.
        splits: values of the column `split`.
        classes: names of the values 0, 1, … of the column `target`.
        axes: of space, of all arrays that lie in it; None: they differ, or only the data know.
    """

    arrays: Names | None = None
    columns: Names | None = None
    lacks: Names = frozenset()
    splits: Names | None = None
    classes: tuple[str, ...] | None = None
    axes: int | None = None

    def without(self, column: str) -> bool:
        """Whether rows surely have no such column."""
        known = self.columns is not None and column not in self.columns | {"sample_id"}
        return known or column in self.lacks

    def beside(self, other: "Holds") -> "Holds":
        """What can be selected by where samples of both are united: a row has the columns of both,
        null where its own dataset has none."""
        either = (self, other)
        unknown = [one for one in either if one.columns is None]
        told = names(*(one.columns for one in either))
        lacks = frozenset(
            column
            for column in self.lacks | other.lacks
            if all(one.without(column) for one in either)
        )
        splits = [names() if one.without("split") else one.splits for one in either]
        return Holds(
            columns=None if unknown else told,
            lacks=lacks,
            splits=None if None in splits else names(*splits),
        )

    def check_where(self, where: Mapping[str, object]) -> None:
        """Refuse to select by what is not there.

        Raises:
            SpecError: a column does not exist ("no-such-column"), or no sample is of the splits
                that are asked for ("nothing-selected").
        """
        for column, wanted in where.items():
            if self.without(column):
                raise SpecError(
                    f"there is no column {column!r} to select by",
                    code="no-such-column",
                    hint="ingest with `split: {train: 0.8, val: 0.2}`, or select by another"
                    if column == "split"
                    else f"columns: {', '.join(sorted(self.columns or ()))}",
                )
            values = wanted if isinstance(wanted, list) else [wanted]
            some = self.splits is None or None in values or self.splits & set(values)
            if column == "split" and not some:
                raise SpecError(
                    f"no sample has the split {', '.join(map(str, values))}",
                    code="nothing-selected",
                    hint=f"splits: {', '.join(sorted(self.splits or ()))}",
                )


@dataclass(frozen=True)
class Needs:
    """What somebody needs of samples.

    Args:
        arrays: each is a set of names of which samples must have one.
        columns: names that rows must have.
        either: a name that must be that of an array or of a column.
        axes: of space, that arrays which lie in it must have.
        features: samples must have an array, whatever its name.
        instead: columns of samples of another kind, recordings for one, that have nothing of this
            and can be answered and scored all the same; nothing is learnt from them.
        hint: what to do where it is not there.
        code: of the error; empty: says whether an array or a column is not there.
    """

    arrays: tuple[Names, ...] = ()
    columns: Names = frozenset()
    either: str = ""
    axes: int | None = None
    features: bool = False
    instead: Names = frozenset()
    hint: str = ""
    code: str = ""

    def check(self, data: Holds, *, learnt: bool = True) -> Self:
        """Refuse data that surely do not have it.

        Args:
            data: that are there.
            learnt: whether something is learnt from them; else `instead` will do.

        Raises:
            SpecError: an array ("no-such-array") or a column ("no-such-column") is not there.
        """
        if not learnt and self.instead and self.instead <= (data.columns or names()):
            return self
        if data.arrays is not None:
            for wanted in self.arrays:
                if not wanted & data.arrays:
                    raise self._absent("array", " or ".join(sorted(wanted)), data.arrays)
            if self.features and not data.arrays:
                raise self._absent("array", "of features", data.arrays)
        for column in sorted(filter(data.without, self.columns)):
            raise self._absent("column", column, data.columns or names())
        alone = data.arrays is not None and self.either not in data.arrays
        if self.either and alone and data.without(self.either):
            raise self._absent("array", self.either, data.arrays or names())
        if None not in (self.axes, data.axes) and self.axes != data.axes:
            raise SpecError(
                f"the images have {data.axes} spatial axes, not {self.axes}",
                code=self.code or "wrong-axes",
                hint=self.hint,
            )
        return self

    def _absent(self, what: str, name: str, there: Names) -> SpecError:
        return SpecError(
            f"the samples have no {what} {name}",
            code=self.code or f"no-such-{what}",
            hint=self.hint or f"{what}s: {', '.join(sorted(there)) or 'none'}",
        )
