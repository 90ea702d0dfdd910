"""What is many and alike, held by column: samples as one table, where there are millions of them
(sites, regions, compounds); and in a sample's row a list of structures (annotations)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, final, overload

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.ids import canonical
from medray.storage.shards.samples import Sample, Slabs


class EndToEnd(NamedTuple):
    """A ragged array of many samples.

    Args:
        values: of all of them, one behind the other along the first axis.
        lengths: of each sample's along it, int64 (samples,).
    """

    values: np.ndarray
    lengths: np.ndarray


class Rows(Sample):
    """Samples in one item, where making each would cost more than reading it.

    They go through a unit together: refused together, too, should writing them fail. All arrays
    that they have are ragged, and each sample has all of them.

    Args:
        table: `sample_id` (string), then the columns of the rows.
        ragged: their arrays, by name.
    """

    def __init__(self, table: pa.Table, ragged: Mapping[str, EndToEnd] | None = None) -> None:
        super().__init__("", {})
        self.table = table
        self.ragged = dict(ragged or {})

    def each(self) -> Iterator[Sample]:
        """One by one."""
        ends = {name: np.cumsum(lengths) for name, (_, lengths) in self.ragged.items()}
        for number, row in enumerate(self.table.to_pylist()):
            arrays: dict[str, np.ndarray | Slabs] = {}
            for name, (values, lengths) in self.ragged.items():
                arrays[name] = values[ends[name][number] - lengths[number] : ends[name][number]]
            yield Sample(row.pop("sample_id"), row, arrays)


@final
class Structs(Sequence[dict[str, Any]]):
    """A list of structures in a row, where making each would cost more than reading it.

    Of many values whether one is such is asked by its type: `isinstance` takes a microsecond, as
    sequences are abstract.

    Args:
        values: the structures by column, none of which is missing as a whole.
    """

    def __init__(self, values: pa.StructArray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.values.to_pylist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as of lists

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        found = self.values[at]
        one: dict[str, Any] | list[dict[str, Any]]
        one = found.to_pylist() if isinstance(at, slice) else found.as_py()
        return one

    def content(self) -> str:
        """Hash of the structures' names, types and values."""
        return content_of(pa.Table.from_struct_array(self.values))


def cells_of(values: Sequence[Any]) -> Any:
    """A cell of each row as Arrow takes a column, lists of structures as they are held."""
    listed = [type(value) is Structs for value in values]
    if listed and all(listed):
        ends = np.cumsum([0, *map(len, values)])
        held = pa.concat_arrays([value.values for value in values])
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), held)
    if any(listed):
        return [list(one) if own else one for one, own in zip(values, listed, strict=True)]
    return values


def joined(tables: list[pa.Table]) -> pa.Table:
    """Tables one below the other; a column that some lack is missing there.

    Raises:
        DataError: a column is of one kind here and of another there (code "unlike-columns").
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        kinds: dict[str, set[str]] = {}
        for field in chain.from_iterable(table.schema for table in tables):
            kinds.setdefault(field.name, set()).add(str(field.type))
        unlike = [f"{name} is {' and '.join(sorted(kind))}" for name, kind in kinds.items()]
        raise DataError(
            "a column is of one kind in one unit and of another in another",
            code="unlike-columns",
            about="; ".join(one for one in unlike if " and " in one),
            hint="give the column one kind of values in all inputs",
        ) from error


def content_of(table: pa.Table) -> str:
    """Hash of a table's names, types and values, however it is cut or laid out in memory."""
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        digest.update(canonical([name, str(column.type), len(column)]))
        there = _numbers(column.is_valid()) if column.null_count else np.ones(len(column), bool)
        digest.update(np.packbits(there).tobytes())
        if pa.types.is_string(column.type):
            _, ends, data = _filled(column, "").buffers()
            bounds = np.frombuffer(ends, np.int32)[column.offset :][: len(column) + 1]
            digest.update(np.diff(bounds).tobytes())
            if len(column) and data is not None:
                digest.update(memoryview(data)[bounds[0] : bounds[-1]])
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            digest.update(_numbers(_filled(column, 0)).tobytes())
        elif pa.types.is_boolean(column.type):
            digest.update(np.packbits(_numbers(_filled(column, False))).tobytes())
        else:
            digest.update(canonical(column.to_pylist()))
    return digest.hexdigest()


def _numbers(column: pa.Array) -> np.ndarray:
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def _filled(column: pa.Array, value: Any) -> pa.Array:
    """The column with a value where one is missing."""
    return column.fill_null(value) if column.null_count else column
