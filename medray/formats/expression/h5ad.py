"""AnnData in HDF5: the layout of today (specification 0.1.0), and the one before 2020.

Then obs and var were records, and categories stood in uns.

https://anndata.readthedocs.io/en/latest/fileformat-prose.html
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from medray.errors import DataError
from medray.formats.expression.matrices import (
    BLOCK_BYTES,
    Block,
    Faults,
    Matrix,
    Survey,
    cuts,
    dense,
    finite,
)
from medray.formats.tabular.hdf5 import (
    DAMAGE,
    MAX_VALUES,
    attribute,
    ends_of_rows,
    examine,
    member,
    numbers_at,
    opened,
    texts,
    texts_at,
)

CELLS = 1024  # read together


class H5ad(Matrix):
    """An .h5ad file.

    Args:
        path: of it.
        layer: `X`, `raw`, or the name of a layer.
        columns: of obs to keep; None keeps all that are numbers, texts or categories.
    """

    def __init__(self, path: Path, layer: str, columns: Sequence[str] | None) -> None:
        self.path, self.layer, self.columns = path, layer, columns

    def survey(self) -> Survey:
        """See Matrix."""
        examine(self.path)
        with opened(self.path) as file:
            cells, genes = _index(file, "obs"), _index(file, self._var(file))
            shape, form = _shape(member(file, self._values(file)))
            for name in ("data", "indices", "indptr") if form != "dense" else ():
                member(file, f"{self._values(file)}/{name}")
            if shape != (len(cells), len(genes)):
                raise DataError("the matrix has another shape than its names", code="uneven-matrix")
        # Columns of a sparse matrix lie together: any range of cells needs all of it.
        cut = (len(cells),) if form == "csc" else cuts(len(cells), CELLS)
        digest = blake3(max_threads=1).update_mmap(self.path).hexdigest()
        return Survey(tuple(genes), tuple(cells), (digest,) * len(cut), cut)

    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """See Matrix."""
        with opened(self.path) as file:
            known, lost = _observations(file, self.columns, start, stop)
            ids = _index(file, "obs", start, stop)
            path = self._values(file)
            node = member(file, path)
            (cells, genes), form = _shape(node)
            if not 0 <= start <= stop <= cells:
                raise DataError("the matrix is smaller than when it was planned", code="changed")
            step = max(1, BLOCK_BYTES // (4 * max(1, genes)))
            csc = _rows_of_csc(file, path, (cells, genes)) if form == "csc" else None
            for at in range(start, stop, step):
                end, faults = min(stop, at + step), Faults()
                if csc is not None:
                    rows = csc[at:end]
                    block = dense(rows.data, rows.indices, rows.indptr, genes, faults)
                elif form == "csr":
                    ends = ends_of_rows(file, f"{path}/indptr", cells)[at : end + 1]
                    first, last = int(ends[0]), int(ends[-1])
                    values = numbers_at(file, f"{path}/data", first, last)
                    places = numbers_at(file, f"{path}/indices", first, last)
                    block = dense(values, places, ends - ends[0], genes, faults)
                else:
                    block = finite(node[at:end], faults)
                named = [
                    {name: values[row - start] for name, values in known.items()}
                    for row in range(at, end)
                ]
                yield Block(ids[at - start : end - start], block, named, faults, lost)
                lost = []

    def _values(self, file: Any) -> str:
        if self.layer == "raw":
            return "raw/X" if "raw" in file else "raw.X"
        return "X" if self.layer == "X" else f"layers/{self.layer}"

    def _var(self, file: Any) -> str:
        if self.layer == "raw":
            return "raw/var" if "raw" in file else "raw.var"
        return "var"


def _shape(node: Any) -> tuple[tuple[int, int], str]:
    """Cells and genes, and how they are kept: dense, csr or csc."""
    import h5py

    if isinstance(node, h5py.Dataset):
        if node.ndim != 2:
            raise DataError("the matrix has not two dimensions", code="uneven-matrix")
        return (int(node.shape[0]), int(node.shape[1])), "dense"
    form = attribute(node, "encoding-type").removesuffix("_matrix")
    form = form or attribute(node, "h5sparse_format")
    size = node.attrs["shape" if "shape" in node.attrs else "h5sparse_shape"]
    if form not in ("csr", "csc"):
        raise DataError("the matrix is kept in a way that is not known", code="unknown-encoding")
    return (int(size[0]), int(size[1])), form


def _rows_of_csc(file: Any, path: str, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csc_matrix

    parts = [numbers_at(file, f"{path}/{name}") for name in ("data", "indices", "indptr")]
    matrix = csc_matrix(tuple(parts), shape=shape)
    matrix.check_format()  # all places in range; ValueError
    return matrix.tocsr()


def _index(file: Any, path: str, start: int = 0, stop: int | None = None) -> list[str]:
    """Names of cells or genes, or of a range of them."""
    import h5py

    node = member(file, path)
    if isinstance(node, h5py.Dataset):
        _checked(node)
        fields = node.dtype.names or ()
        name = "index" if "index" in fields else "_index"
        return texts(node[start:stop][name])
    return texts_at(file, f"{path}/{attribute(node, '_index') or '_index'}", start, stop)


def _observations(
    file: Any, columns: Sequence[str] | None, start: int, stop: int
) -> tuple[dict[str, list[Any]], list[DataError]]:
    """What is known of the cells, by column; and what is wrong with columns that nobody named."""
    import h5py

    node = member(file, "obs")
    old = isinstance(node, h5py.Dataset)
    if old:
        _checked(node)
        names = [name for name in node.dtype.names or () if name not in ("index", "_index")]
    else:
        index = attribute(node, "_index") or "_index"
        names = [name for name in node if name != index and not name.startswith("__")]
        announced = node.attrs.get("column-order")
        if columns is None and announced is not None:
            names = list(dict.fromkeys([*names, *texts(np.asarray(announced))]))
    wanted = names if columns is None else list(columns)
    found, lost = {}, []
    for name in wanted:
        if name not in names:
            raise DataError(f"obs has no column {name!r}", code="no-such-column")
        try:
            if old:
                values = _old_column(file, name, node[start:stop][name])
            else:
                values = _column(file, f"obs/{name}", start, stop)
            if values is not None and len(values) != stop - start:
                raise DataError(
                    f"column {name!r} of obs has not a value a cell", code="damaged-matrix"
                )
        except (DataError, *DAMAGE) as error:
            if columns is not None:
                raise
            lost.append(_unreadable(name, error))
            continue
        if values is not None:
            found[name] = values
        elif columns is not None:
            raise DataError(f"column {name!r} of obs cannot be read", code="unknown-encoding")
    return found, lost


def _unreadable(name: str, error: Exception) -> DataError:
    reason, code = f"column {name!r} of obs cannot be read", "damaged-hdf5"
    if isinstance(error, DataError):
        reason, code = error.message, error.code
    hint = "the cells are taken without it; `observations` names the columns to keep"
    return DataError(reason, code=code, about=f"obs/{name}", hint=hint)


def _column(file: Any, path: str, start: int = 0, stop: int | None = None) -> list[Any] | None:
    """Values of a column, None where one is missing; None of one that is no list of plain values.

    Encodings: `categorical`, `nullable-integer`, `nullable-boolean` and `nullable-string-array` are
    groups, `array` and `string-array` datasets; before 2022 categories were an attribute.
    """
    import h5py

    node = member(file, path)
    if isinstance(node, h5py.Group):
        kind = attribute(node, "encoding-type")
        if kind == "categorical":
            names = _column(file, f"{path}/categories")
            codes = numbers_at(file, f"{path}/codes", start, stop)
            return None if names is None else _named(codes, names)
        if kind.startswith("nullable-"):
            values = _plain(member(file, f"{path}/values")[start:stop])
            mask = numbers_at(file, f"{path}/mask", start, stop).tolist()
            return [None if gone else one for one, gone in zip(values, mask, strict=True)]
        return None
    if node.ndim != 1 or node.dtype.kind not in "biufSO":
        return None
    values = node[start:stop]
    if "categories" in node.attrs:  # of 2020 and 2021: a reference to the names
        return _named(values, _plain(file[node.attrs["categories"]][...]))
    return _plain(values)


def _old_column(file: Any, name: str, values: np.ndarray) -> list[Any] | None:
    path = f"uns/{name}_categories"
    if values.dtype.kind in "iu" and path in file:
        return _named(values, texts_at(file, path))
    return _plain(values) if values.ndim == 1 and values.dtype.kind in "biufSO" else None


def _named(codes: np.ndarray, names: Sequence[Any]) -> list[Any]:
    """Categories by their codes; -1 is none."""
    if len(codes) and not -1 <= int(codes.min()) <= int(codes.max()) < len(names):
        raise DataError("a category has no name", code="damaged-matrix")
    return [None if code < 0 else names[code] for code in codes.tolist()]


def _plain(values: np.ndarray) -> list[Any]:
    return texts(values) if values.dtype.kind in "SO" else list(values.tolist())


def _checked(node: Any) -> None:
    size: Mapping[str, Any] | int = node.shape[0] if node.ndim == 1 else MAX_VALUES + 1
    if not isinstance(size, int) or size > MAX_VALUES:
        raise DataError("obs or var is no table", code="damaged-matrix")
