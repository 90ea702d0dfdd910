"""Folders with a matrix: which of their files are what, and rows of the matrix as pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.formats.base import Input, Source
from medray.formats.files import OTHER, File, item, open_path
from medray.formats.pairs.folder import Folds, Matrix, lists, load, numbered, texts
from medray.formats.pairs.measured import Measured, Numbered
from medray.formats.pairs.options import AFFINITY, PairsOptions
from medray.formats.pairs.tables import scaled
from medray.log import event
from medray.storage.shards.records import Refusal

SHOWN = 3  # files that are no matrix, and why, in a hint
PARTS = ("train", "test")  # what lists of positions are for, by how their files' names begin


def planned(
    source: Source, home: str, files: Sequence[File], options: PairsOptions
) -> tuple[list[Input], dict[str, Any], list[Refusal]]:
    """Slices of a folder's matrix, what a dataset says of it, and files that are passed over.

    Args:
        source: whose files are here.
        home: the folder, with a slash behind it; empty: the source itself.
        files: of the folder.
        options: of the format.

    Raises:
        DataError: there are no proteins ("no-proteins"), no matrix fits them, or several do
            ("which-matrix"), or all of its cells are empty ("nothing-measured"); or see `folder`.
    """
    own = {file.path.removeprefix(home): file for file in files}
    if options.proteins not in own:
        raise DataError(f"there is no {options.proteins}", code="no-proteins")
    name, matrix = _fitting(source, own, options)
    if not matrix.measured.any():
        raise DataError("no cell of the matrix holds a value", code="nothing-measured")
    by_part = {part: one for part in PARTS if (one := _list(own, options.folds, part))}
    extra: dict[str, Any] = {
        "scale": matrix.scale if options.scale == "auto" else options.scale,
        "prefix": f"{home.replace('/', '_')}pair",
        "parts": [*by_part],
    }
    if by_part:
        folds = [lists(open_path(source, own[one].path)) for one in by_part.values()]
        extra["numbering"] = numbered(matrix, folds, options.numbering)
    used = [options.compounds, options.proteins, name, *by_part.values()]
    several = [own[one] for one in used]
    inputs = [
        item(f"{own[name].path}:{start}", several, compounds=[start, stop], **extra)
        for start, stop in matrix.slices
    ]
    told: dict[str, Any] = {one: extra[one] for one in ("scale", "numbering") if one in extra}
    event("scale-of-affinities", file=own[name].path, scale=extra["scale"])
    count = int(matrix.measured.sum())
    told |= {"matrix": name, "measured": count, "missing": matrix.measured.size - count}
    return inputs, told, [Refusal.of(own[one].path, OTHER) for one in own if one not in used]


def cells(source: Source, item: Input) -> Measured:
    """The measured cells of some rows of a matrix; their numbers are positions in it.

    Raises:
        DataError: see `folder`.
    """
    known, others, path, *folds = (open_path(source, one) for one in item.paths)
    matrix = load(texts(known), texts(others), path)
    columns = len(matrix.proteins)
    start, stop = (row * columns for row in item.extra["compounds"])
    at = start + np.flatnonzero(matrix.measured.ravel()[start:stop])
    compound, protein = at // columns, at % columns
    values, below = scaled(matrix.values.ravel()[at], item.extra["scale"])
    made = {
        "compound": pa.array([*matrix.compounds]).take(pa.array(compound)),
        "protein": pa.array([*matrix.proteins]).take(pa.array(protein)),
        AFFINITY: pa.array(values, pa.float64(), from_pandas=True),
    }
    if folds:
        found = Folds.of(matrix, [lists(one) for one in folds], item.extra["numbering"])
        numbers = found.part[at]
        made["part"] = pa.array(item.extra["parts"]).take(pa.array(numbers, mask=numbers < 0))
        numbers = found.fold[at]
        made["fold"] = pa.array(numbers.astype(np.int64), mask=numbers < 0)
    smiles, sequences = Numbered(), Numbered()
    first, last = item.extra["compounds"]
    of_row = np.array(smiles.numbers([*matrix.compounds.values()][first:last]), np.int64)
    of_column = np.array(sequences.numbers(matrix.proteins.values()), np.int64)
    return Measured(
        item.paths[2],
        "position",
        item.extra["prefix"],
        at,
        smiles.texts,
        sequences.texts,
        of_row[compound - first],
        of_column[protein],
        made,
        {
            **_bad("a value in nM is not above 0", below),
            **_bad("no number", matrix.bad.ravel()[at]),
        },
        {},
    )


def _fitting(source: Source, own: Mapping[str, File], options: PairsOptions) -> tuple[str, Matrix]:
    """The one matrix of a folder, and its name there."""
    compounds, proteins = (
        texts(open_path(source, own[name].path)) for name in (options.compounds, options.proteins)
    )
    tried = [options.matrix] if options.matrix else [name for name in own if "/" not in name]
    fitting, wrong = dict[str, Matrix](), list[str]()
    for name in tried:
        if name not in own or name in (options.compounds, options.proteins):
            continue
        try:
            fitting[name] = load(compounds, proteins, open_path(source, own[name].path))
        except DataError as error:
            if options.matrix:
                raise
            wrong.append(f"{name}: {error.message}")
    if len(fitting) != 1:
        what = "several matrices fit" if fitting else "no matrix fits"
        raise DataError(
            f"{what} {len(compounds)} compounds and {len(proteins)} proteins",
            code="which-matrix",
            hint="; ".join(wrong[:SHOWN]) if wrong and not fitting else "name it: `matrix`",
        )
    return next(iter(fitting.items()))


def _list(own: Mapping[str, File], folder: str, part: str) -> str | None:
    """The file with the positions of a part."""
    found = [name for name in own if name.startswith(f"{folder}/{part}")]
    if len(found) > 1:
        raise DataError(
            f"several files are lists of {part}",
            code="several-folds",
            hint="keep those of one setting in a folder, and name it: `folds`",
        )
    return found[0] if found else None


def _bad(why: str, where: np.ndarray) -> dict[int, DataError]:
    return {at: DataError(why, code="bad-value") for at in np.flatnonzero(where).tolist()}
