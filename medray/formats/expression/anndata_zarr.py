"""AnnData-Zarr: X, obs and var as AnnData's on-disk specification 0.1.0 has them, in Zarr v2.

https://anndata.readthedocs.io/en/latest/fileformat-prose.html. Zarr v2 because every release of
anndata, and the readers of R and Julia, open it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.expression.options import FEATURES
from medray.formats.files import replacing
from medray.ids import short
from medray.storage.shards.samples import Sample

NAMES = "feature_names"  # of a row: names of its features, which are no column
EMPTY = ("layers", "obsm", "obsp", "uns", "varm", "varp")
CHUNK_BYTES = 4 * 2**20


def write_anndata(samples: Sequence[Sample], target: Path) -> Path:
    """One store of the samples: `cells-<hash of their ids>.zarr`.

    Args:
        samples: with the array `features` (F,); `row["feature_names"]` names them.
        target: folder to write to.

    Raises:
        DataError: a sample has no features, or another number of them (code "uneven-features").
    """
    import zarr

    values = _matrix(samples)
    path = target / f"cells-{short([one.id for one in samples])[:12]}.zarr"
    given = samples[0].row.get(NAMES) or [str(at) for at in range(values.shape[1])]
    if len(given) != values.shape[1]:
        raise DataError("the features have other names than values", code="uneven-features")
    columns = list(dict.fromkeys(name for one in samples for name in one.row if name != NAMES))
    with replacing(path) as temporary:
        root = zarr.create_group(str(temporary), zarr_format=2)
        root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        rows = max(1, CHUNK_BYTES // max(1, values[0].nbytes))
        chunk = (min(rows, len(values)), values.shape[1])
        made = root.create_array("X", data=values, chunks=chunk)
        made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        obs = {name: [one.row.get(name) for one in samples] for name in columns}
        _dataframe(root, "obs", [one.id for one in samples], obs)
        _dataframe(root, "var", list(given), {})
        for name in EMPTY:
            group = root.create_group(name)
            group.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    return path


def _matrix(samples: Sequence[Sample]) -> np.ndarray:
    arrays = [one.arrays.get(FEATURES) for one in samples]
    shapes = {None if array is None else array.shape for array in arrays}
    if len(shapes) != 1 or None in shapes:
        raise DataError("samples have not equally many features", code="uneven-features")
    return np.stack([np.asarray(array, np.float32) for array in arrays])


def _dataframe(root: Any, name: str, index: list[str], columns: Mapping[str, list[Any]]) -> None:
    group = root.create_group(name)
    kept: list[str] = []
    _texts(group, "_index", index)
    for column, values in columns.items():
        # "/" would be a group of Zarr; lists have no place in a data frame.
        label = column.replace("/", "_")
        if any(isinstance(value, list | dict) for value in values) or label in ("_index", *kept):
            continue
        kept.append(label)
        known = [value for value in values if value is not None]
        if known and all(isinstance(value, bool) for value in known) and len(known) == len(values):
            _array(group, label, np.array(values, bool))
        elif known and all(isinstance(value, int | float) for value in known):
            whole = len(known) == len(values) and all(isinstance(v, int) for v in known)
            _array(group, label, np.array(values, np.int64 if whole else np.float64))
        else:
            _texts(group, label, ["" if value is None else str(value) for value in values])
    group.attrs.update(
        {
            "encoding-type": "dataframe",
            "encoding-version": "0.2.0",
            "_index": "_index",
            "column-order": kept,
        }
    )


def _array(group: Any, name: str, values: np.ndarray) -> None:
    made = group.create_array(name, data=values)
    made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def _texts(group: Any, name: str, values: list[str]) -> None:
    from zarr.dtype import VariableLengthUTF8

    made = group.create_array(name, shape=(len(values),), dtype=VariableLengthUTF8())
    made[...] = np.array(values, object)
    made.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
