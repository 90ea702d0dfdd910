"""Long tables: a pair a row, its SMILES and its sequence among the cells."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.formats.molecules.block import Block
from medray.formats.molecules.cells import columns_of
from medray.formats.molecules.options import Kind
from medray.formats.pairs.measured import Measured, Numbered
from medray.formats.pairs.options import AFFINITY, PairsOptions


def wanted(options: PairsOptions) -> list[str]:
    """The columns that are read."""
    given = [options.smiles, options.sequence, options.value, options.compound, options.protein]
    return [name for name in dict.fromkeys([*given, *options.columns]) if name is not None]


def measured(blocks: Iterable[Block], options: PairsOptions, path: str, prefix: str) -> Measured:
    """The pairs of a slice.

    Args:
        blocks: of its rows.
        options: of the format.
        path: of the file.
        prefix: of names of rows.
    """
    smiles, sequences = Numbered(), Numbered()
    numbers, place = list[int](), "row"
    compound, protein = list[int](), list[int]()
    parts: dict[str, list[pa.Array]] = {}
    bad, lost = dict[int, DataError](), dict[int, DataError]()
    for block in blocks:
        first, place = len(numbers), block.place
        numbers += block.numbers
        compound += smiles.numbers(block.texts(options.smiles))
        protein += sequences.numbers(block.texts(options.sequence))
        columns, wrong = _columns(block, options)
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
        bad |= {first + row: error for row, error in wrong.items()}
        lost |= block.bad
    columns = {name: pa.concat_arrays(several) for name, several in parts.items()}
    return Measured(
        path,
        place,
        prefix,
        np.array(numbers, np.int64),
        smiles.texts,
        sequences.texts,
        np.array(compound, np.int64),
        np.array(protein, np.int64),
        columns,
        bad,
        lost,
    )


def scaled(values: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """Values on a logarithmic scale, float64, and which of them have none there, bool.

    Args:
        values: NaN where nothing was measured.
        scale: nM, of which 9 - log10 is taken; or p, as they are.
    """
    if scale == "p":
        return values, np.zeros(len(values), bool)
    bad = values <= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bad, np.nan, 9 - np.log10(values)), bad


def _columns(
    block: Block, options: PairsOptions
) -> tuple[dict[str, pa.Array], dict[int, DataError]]:
    kinds: dict[str, Kind] = dict(options.columns)
    several = {"compound": options.compound, "protein": options.protein}
    named = {name: column for name, column in several.items() if column is not None}
    kinds |= dict.fromkeys(named.values(), "text")
    if options.value is not None:
        kinds[options.value] = "number"
    found, bad = columns_of(block.columns, kinds, len(block.numbers))
    made = {name: found[column] for name, column in named.items()}
    if options.value is not None:
        values = found[options.value].to_numpy(zero_copy_only=False)
        values, below = scaled(values, options.scale)
        error = DataError("a value in nM is not above 0", code="bad-value")
        bad |= {row: error for row in np.flatnonzero(below).tolist() if row not in bad}
        made[AFFINITY] = pa.array(values, pa.float64(), from_pandas=True)
    return made | {name: found[name] for name in options.columns}, bad
