"""Measured pairs to rows: each distinct compound is read once, and stored once, as are proteins.

A compound's graph lies with the first row of its unit that has it, and a protein's residues with
the first that has them; all other rows have empty arrays, and say by `canonical` and `sequence_id`
whose they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.formats.molecules.block import ROWS
from medray.formats.molecules.guard import Guard
from medray.formats.molecules.parsed import Parsed, joined
from medray.formats.molecules.residues import RESIDUES, residues, sequence_id
from medray.formats.molecules.rows import named
from medray.formats.pairs.options import AFFINITY, COMPOUND, SEQUENCE_ID, PairsOptions
from medray.log import event
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import EndToEnd, Rows

READER = "medray.formats.molecules.reading:Reader"


class Numbered:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    @property
    def texts(self) -> Sequence[str]:
        """The distinct ones, in the order in which they came."""
        return [*self._known]

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """Of some texts, new ones among them."""
        return [self._known.setdefault(one, len(self._known)) for one in texts]


@dataclass(frozen=True)
class Measured:
    """Pairs of a slice.

    Args:
        path: of the file that says so.
        place: what is numbered in it: position, line, row.
        prefix: of names of pairs, which end in their numbers.
        numbers: of the pairs.
        smiles: of the distinct compounds, as they stand there.
        sequences: of the distinct proteins.
        compound: int64 (pairs,), number of each one's compound.
        protein: int64 (pairs,), number of each one's protein.
        columns: of the pairs, `affinity` among them where there are values.
        bad: pairs that are none, by their place among these.
        lost: what makes no pair at all, by number.
    """

    path: str
    place: str
    prefix: str
    numbers: np.ndarray
    smiles: Sequence[str]
    sequences: Sequence[str]
    compound: np.ndarray
    protein: np.ndarray
    columns: Mapping[str, pa.Array]
    bad: Mapping[int, DataError]
    lost: Mapping[int, DataError]


def rows_of(pairs: Measured, options: PairsOptions, key: str) -> Iterator[Rows | Refusal]:
    """Refusals in the order of their numbers, then all others as rows with arrays.

    Args:
        pairs: of a slice.
        options: of the format.
        key: of the input.

    Raises:
        DataError: too many are refused (code "too-many-bad-rows").
    """
    parsed, no_compound = _compounds(pairs.smiles, options)
    letters, no_protein = _proteins(pairs.sequences, options.max_residues)
    sound = ~np.isin(pairs.compound, [*no_compound]) & ~np.isin(pairs.protein, [*no_protein])
    sound[[*pairs.bad]] = False
    errors = dict(pairs.lost)
    for at in np.flatnonzero(~sound).tolist():
        several = (
            pairs.bad.get(at),
            no_compound.get(int(pairs.compound[at])),
            no_protein.get(int(pairs.protein[at])),
        )
        errors[int(pairs.numbers[at])] = next(filter(None, several))
    if len(errors) > options.max_refused:
        raise DataError(
            f"over {options.max_refused} pairs can't be used",
            code="too-many-bad-rows",
            hint="are these the right columns? `max_refused` takes more",
        )
    for number, error in sorted(errors.items()):
        told = DataError(
            f"{pairs.place} {number} of {pairs.path}: {error.message}", code=error.code
        )
        yield Refusal.of(key, told, sample=named(pairs.prefix, number))
    kept = np.flatnonzero(sound)
    if len(kept):
        yield _rows(pairs, kept, parsed, letters)


def _compounds(smiles: Sequence[str], options: PairsOptions) -> tuple[Parsed, dict[int, DataError]]:
    """What RDKit made of each, and those that are none by their number."""
    long = {
        at: DataError(f"it has {len(one)} characters", code="too-long")
        for at, one in enumerate(smiles)
        if len(one) > options.max_characters
    }
    texts = ["" if at in long else one for at, one in enumerate(smiles)]
    starts = range(0, len(texts), ROWS)
    guard = Guard(READER, options.reading.model_dump(), options.row_seconds)
    parts = guard.read([texts[start : start + ROWS] for start in starts])
    parsed = joined([*zip(starts, parts, strict=True)])
    refused = {at: DataError(why, code=code) for at, (code, why) in parsed.refused.items()}
    return parsed, refused | long


def _proteins(sequences: Sequence[str], most: int) -> tuple[dict[int, bytes], dict[int, DataError]]:
    found, refused = dict[int, bytes](), dict[int, DataError]()
    for at, one in enumerate(sequences):
        try:
            found[at] = residues(one, most)
        except DataError as error:
            refused[at] = error
    return found, refused


def _rows(pairs: Measured, kept: np.ndarray, parsed: Parsed, letters: dict[int, bytes]) -> Rows:
    """The pairs that are sound, as a table with arrays."""
    taken = np.full(len(pairs.smiles), -1)
    taken[parsed.taken] = np.arange(len(parsed.taken))
    read = taken[pairs.compound[kept]]
    names = [""] * len(pairs.sequences)
    for at, one in letters.items():
        names[at] = sequence_id(one)
    sequences = pa.array(names).take(pa.array(pairs.protein[kept]))
    table = pa.table(
        {
            "sample_id": [named(pairs.prefix, number) for number in pairs.numbers[kept].tolist()],
            **{name: column.take(pa.array(kept)) for name, column in pairs.columns.items()},
            "smiles": pa.array(pairs.smiles).take(pa.array(pairs.compound[kept])),
            **{
                name: pa.array(texts, pa.string()).take(pa.array(read))
                for name, texts in parsed.columns.items()
            },
            SEQUENCE_ID: sequences,
        }
    )
    compounds, first = _first(table["canonical"])
    ragged = {
        COMPOUND[name]: _at(first, read[first], array, len(kept))
        for name, array in parsed.arrays.items()
    }
    proteins, first = _first(table[SEQUENCE_ID])
    texts = [np.frombuffer(letters[at], np.uint8) for at in pairs.protein[kept[first]].tolist()]
    lengths = np.zeros(len(kept), np.int64)
    lengths[first] = [len(one) for one in texts]
    ragged[RESIDUES] = EndToEnd(np.concatenate(texts), lengths)
    if AFFINITY in table.column_names:
        _tell_unequal(pairs.path, compounds, proteins, table[AFFINITY].to_numpy())
    return Rows(table, ragged)


def _first(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the values of a column, in the order in which they come, and where each begins."""
    numbers = column.combine_chunks().dictionary_encode().indices.to_numpy()
    return numbers, np.unique(numbers, return_index=True)[1]


def _at(rows: np.ndarray, which: np.ndarray, array: EndToEnd, count: int) -> EndToEnd:
    """Some samples of a ragged array as `rows`, ascending, of `count`; all others are empty."""
    starts = np.cumsum(array.lengths) - array.lengths
    parts = [array.values[starts[one] : starts[one] + array.lengths[one]] for one in which]
    lengths = np.zeros(count, np.int64)
    lengths[rows] = array.lengths[which]
    return EndToEnd(np.concatenate(parts), lengths)


def _tell_unequal(
    path: str, compounds: np.ndarray, proteins: np.ndarray, values: np.ndarray
) -> None:
    """Log how many pairs of equal compound and sequence have values that differ."""
    _, of = np.unique(np.stack([compounds, proteins], 1), axis=0, return_inverse=True)
    lowest, highest = np.full(of.max() + 1, np.inf), np.full(of.max() + 1, -np.inf)
    np.fmin.at(lowest, of, values)
    np.fmax.at(highest, of, values)
    if count := int((lowest < highest).sum()):
        event("unequal-affinities", file=path, pairs=count, rows=len(values))
