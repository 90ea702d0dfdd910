"""Ingest: raw files of one format to samples."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from medray.engine.units.operation import Operation, Unit
from medray.errors import DataError, PassedOver, SpecError
from medray.formats import FORMATS
from medray.formats.base import Input, Source
from medray.formats.bucket import fetched
from medray.formats.held import held
from medray.formats.packed import unpack
from medray.ids import fraction
from medray.steps.ingest.spec import LEFT_OUT
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, decode
from medray.storage.store.compute import call
from medray.storage.store.objects import Objects

NOTHING = PassedOver("there is nothing in it to be read", code="no-rows")


class Ingest(Operation):
    """Reads inputs by the format's `read`, held against the plan; adds the split.

    Parameters: `format` (options with `name`), `source` (folder, or URL of a bucket), `split` (see
    `divide`), `arrays` (see medray.formats.base.Found), and of the step `fingerprint` and
    `follow_links`.
    Payload of a unit: its inputs, see medray.formats.packed.
    """

    name: ClassVar[str] = "ingest"

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        options = dict(parameters["format"])
        kind = FORMATS.get(options.pop("name"))
        self.format = kind(kind.Options.model_validate(options))
        source = str(parameters["source"])
        self.bucket = objects.beside(source) if "://" in source else None
        self.by_content = parameters.get("fingerprint") == "content"
        self.source = Source(
            Path(source),
            follow_links=parameters.get("follow_links", False),
            by_content=self.by_content,
        )

    @property
    def arrays(self) -> Arrays:
        """As the format says, and what headers told when it was planned."""
        return {**self.format.arrays(), **decode(self.parameters.get("arrays", {}))}

    def described(self, unit: Unit, refusal: Refusal) -> Refusal:
        item = self._item(unit, refusal.source)
        path, syntax = self.format.shown(item)
        files = refusal.files if refusal.sample else len(item.paths)
        return replace(refusal, files=files, path=refusal.path or path, syntax=syntax)

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        item, empty = self._item(unit, key), True
        with self._source_of(item) as source, held(source, self.format, item):
            for sample in self.format.read(source, item):
                empty = empty and isinstance(sample, Rows) and not len(sample.table)
                split = self.parameters.get("split")
                if split and isinstance(sample, Rows):
                    yield divide_rows(split, sample)
                    continue
                if split and isinstance(sample, Sample):
                    divide(split, sample)
                yield sample
        if empty:
            yield Refusal.of(key, NOTHING)

    def _source_of(self, item: Input) -> AbstractContextManager[Source]:
        if self.bucket is None:
            return nullcontext(self.source)
        return fetched(self.bucket, self.format.files(item), by_content=self.by_content)

    @staticmethod
    def _item(unit: Unit, key: str) -> Input:
        return unpack(unit.payload)[key]


def divide(split: dict[str, Any], sample: Sample) -> None:
    """Write a sample's `split` and `fold` into its row, where they are asked for.

    Both are pure functions of the seed and the value divided by: the same on every worker, and the
    same as a dataset grows. `by` names a column whose equal values never part; without it that is
    `subject`, where the sample has one. Fractions and sizes of folds are expectations, not counts.

    Args:
        split: `by`, `seed` and one fraction per split name, e.g. {"train": 0.8, "val": 0.2}; or
            `column`, whose value is the split (official splits; a blank is in none). And `folds`,
            their number. Of several columns, a list as `by`, a sample whose values fall apart is
            LEFT_OUT.
        sample: whose row is written to.

    Raises:
        DataError: the sample has a `fold` already (code "fold-is-taken").
        SpecError: the sample says nothing in the column that `by` names, or has no such `column`
            (code "nothing-to-divide").
    """
    if "column" in split or _names(split):
        sample.row["split"] = split_of(split, sample)
    if "folds" in split:
        if "fold" in sample.row:
            raise _fold_is_taken()
        sample.row["fold"] = _fold(split, _key(split, sample))


def split_of(split: dict[str, Any], sample: Sample) -> str | None:
    """The split a sample falls into, None where its column is blank; see `divide`."""
    if "column" in split:
        if split["column"] not in sample.row:
            raise _nothing_to_divide(split["column"], 1)
        value = sample.row[split["column"]]
        return None if value is None else str(value)
    fallen = {_fallen(split, _key(one, sample)) for one in _each_by(split)}
    return fallen.pop() if len(fallen) == 1 else LEFT_OUT


def divide_rows(split: dict[str, Any], rows: Rows) -> Rows:
    """As `divide`, many samples at once.

    Raises:
        DataError, SpecError: as there.
    """
    table = rows.table
    if "column" in split:
        table = table.append_column("split", _text(split["column"], table))
    elif _names(split):
        fallen, *others = (_each(one, rows, _fallen) for one in _each_by(split))
        for other in others:
            fallen = call("if_else", call("equal", fallen, other), fallen, pa.scalar(LEFT_OUT))
        table = table.append_column("split", fallen)
    if "folds" in split:
        if "fold" in table.column_names:
            raise _fold_is_taken()
        table = table.append_column("fold", _each(split, rows, _fold))
    return Rows(table, rows.ragged)


def _each(
    split: dict[str, Any], rows: Rows, falls: Callable[[dict[str, Any], str], str | int]
) -> pa.Array:
    """Where each row falls, looked at once for each value that is divided by."""
    by, table = split.get("by"), rows.table
    ids = table["sample_id"].combine_chunks().cast(pa.string())
    if by == "sample" or (by is None and "subject" not in table.column_names):
        keys = ids
    else:
        keys = _text(by or "subject", table)
        if keys.null_count and by is not None:
            raise _nothing_to_divide(by, keys.null_count)
        keys = call("coalesce", keys, ids)
    keys = keys.dictionary_encode()
    values = pa.array([falls(split, key) for key in keys.dictionary.to_pylist()])
    return values.take(keys.indices)


def _text(column: str, table: pa.Table) -> pa.Array:
    if column not in table.column_names:
        raise _nothing_to_divide(column, len(table))
    return table[column].combine_chunks().cast(pa.string())


def _fold(split: dict[str, Any], key: str) -> int:
    # Another draw than the split's: else each fold would lie in one split.
    return int(fraction(int(split.get("seed", 0)), f"fold\0{key}") * split["folds"])


def _fallen(split: dict[str, Any], key: str) -> str:
    at = fraction(int(split.get("seed", 0)), key)
    names = _names(split)
    total = sum(split[name] for name in names)
    for name in names:
        at -= split[name] / total
        if at < 0:
            return name
    return names[-1]


def _fold_is_taken() -> DataError:
    return DataError("the samples have a column `fold` already", code="fold-is-taken")


def _each_by(split: dict[str, Any]) -> list[dict[str, Any]]:
    """The same by each of the columns that it names."""
    by = split.get("by")
    return [{**split, "by": one} for one in by] if isinstance(by, list) else [split]


def _names(split: dict[str, Any]) -> list[str]:
    return [name for name in split if name not in ("by", "seed", "column", "folds")]


def _key(split: dict[str, Any], sample: Sample) -> str:
    by = split.get("by")
    value = sample.id if by == "sample" else sample.row.get(by or "subject")
    if value is None and by is not None:
        raise _nothing_to_divide(by, 1)
    return sample.id if value is None else str(value)


def _nothing_to_divide(column: str, count: int) -> SpecError:
    return SpecError(
        f"{count} sample{'s say' if count > 1 else ' says'} nothing in the column to divide by",
        code="nothing-to-divide",
        about=column,
        hint="name a column that all samples have, or `by: sample`",
    )
