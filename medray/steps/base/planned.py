"""Planned: a step becomes units, each with an identity, accountable inputs and what `load` needs.

Payloads, by operation; never pixels:

- ingest: see medray.formats.packed.
- score, screen, the first wave of rank: `shard`, `start` and `stop`: a range of its rows, which is
  the unit's one input.
- part, join: see medray.steps.export.join.
- predict, evaluate, export: `shard`, the input shard (`storage.shards.records.Pinned`), and `rows`,
  the row in it of each of the unit's inputs, in the same order. Inputs are sample ids. Evaluate
  and export also get `paired`: for each input [n, row] of the sample with the same id in shard n
  of `beside`, which are of a second dataset, or null where there is none. Evaluate goes over the
  truth, paired with predictions, so that a case without a prediction counts; export goes over what
  is exported, paired with the images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

import pyarrow as pa

from medray.engine.units.operation import Unit
from medray.errors import SpecError
from medray.ids import Distinct, short, unit_id
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.records import Pinned, Refusal

_OF_REFUSAL = attrgetter(*(field.name for field in fields(Refusal)))


@dataclass(frozen=True)
class Planned:
    """What a step will do.

    Args:
        units: in the order of the dataset they make.
        refused: inputs turned away while planning.
    """

    units: list[Unit]
    refused: list[Refusal]

    @property
    def inputs(self) -> int:
        """Accountable inputs, refused ones included."""
        return sum(len(unit.inputs) for unit in self.units) + len(self.refused)

    @property
    def identity(self) -> str:
        """Equal work, equal identity."""
        return short([[unit.id for unit in self.units], [_OF_REFUSAL(one) for one in self.refused]])


def plan_shards(
    data: Dataset,
    operation: str,
    *,
    identity: dict[str, Any],
    select: dict[str, Any],
    model: str = "",
    paired: Dataset | None = None,
) -> Planned:
    """Units over a dataset, one per input shard that holds selected samples.

    Args:
        data: to go over.
        operation: its name, with the format's where there is one.
        identity: everything but inputs and model that decides what is made.
        select: see Dataset.select.
        model: digest of the model package.
        paired: dataset that holds a sample of the same id for each, or for some.

    Raises:
        SpecError: no sample is selected (code "nothing-selected").
    """
    return _over(data, selected(data, select), operation, identity, model=model, paired=paired)


def plan_union(
    parts: Sequence[Dataset], operation: str, *, identity: dict[str, Any], select: dict[str, Any]
) -> Planned:
    """Units over several datasets as if they were one, with the columns of all.

    Args:
        parts: to go over, in order.
        operation: as of `plan_shards`, and so are the others.
        identity: see there.
        select: see there; a sample has no value in a column that its own dataset has not.

    Raises:
        SpecError: no sample is selected in any (code "nothing-selected"), none has the column
            ("no-such-column"), or two have one id ("duplicate-input").
    """
    beside = {name for part in parts for name in part.manifest.columns}
    chosen = [part.select(select, beside) for part in parts]
    if not any(chosen):
        raise _nothing(" and ".join(part.reference for part in parts), "select", select)
    plans = zip(parts, chosen, strict=True)
    units = [unit for part, some in plans for unit in _over(part, some, operation, identity).units]
    no_key_twice(key for unit in units for key in unit.inputs)
    return Planned([replace(unit, index=number) for number, unit in enumerate(units)], [])


def selected(data: Dataset, where: dict[str, Any], field: str = "select") -> list[int]:
    """Positions of the samples that a step asks for.

    Args:
        data: that has them.
        where: see Dataset.select.
        field: of the step that says so.

    Raises:
        SpecError: there are none (code "nothing-selected"), or a column is not there
            ("no-such-column").
    """
    if chosen := data.select(where):
        return chosen
    raise _nothing(data.reference, field, where)


def _nothing(about: str, field: str, where: dict[str, Any]) -> SpecError:
    hint = f"{field}: {where}" if where else "every input of it was quarantined"
    return SpecError("no sample is selected", code="nothing-selected", about=about, hint=hint)


def _over(
    data: Dataset,
    chosen: Sequence[int],
    operation: str,
    identity: dict[str, Any],
    *,
    model: str = "",
    paired: Dataset | None = None,
) -> Planned:
    """Units over the samples at these positions; see `plan_shards`."""
    table = data.columns(["sample_id", "_shard", "_row"]).take(pa.array(chosen, pa.int64()))
    by_shard: dict[int, list[tuple[str, int]]] = {}
    for row in table.to_pylist():
        by_shard.setdefault(row["_shard"], []).append((row["sample_id"], row["_row"]))
    places = _places(paired) if paired is not None else {}
    units: list[Unit] = []
    for number, samples in sorted(by_shard.items()):
        entry = data.units[number]
        keys = [key for key, _ in samples]
        inputs = [entry.content, *keys]
        rows = [row for _, row in samples]
        payload: dict[str, Any] = {"shard": list(entry.pinned), "rows": rows}
        if paired is not None:
            found = [places.get(key) for key in keys]
            beside = list(dict.fromkeys(place.shard for place in found if place))
            payload["beside"] = [list(shard) for shard in beside]
            payload["paired"] = [
                [beside.index(place.shard), place.row] if place else None for place in found
            ]
            inputs += [f"{place.content}/{place.row}" if place else "" for place in found]
        units.append(
            Unit(unit_id(operation, identity, inputs, model), len(units), tuple(keys), payload)
        )
    no_key_twice(key for unit in units for key in unit.inputs)
    return Planned(units, [])


def plan_rows(
    data: Dataset, operation: str, *, identity: dict[str, Any], rows: int, model: str = ""
) -> Planned:
    """Units over a table, each a range of rows of one shard. The table itself is not looked at.

    Args:
        data: to go over.
        operation: its name.
        identity: everything but inputs and model that decides what is made.
        rows: in a unit at most.
        model: digest of the model package.
    """
    units: list[Unit] = []
    for number, entry in enumerate(data.units):
        for start in range(0, entry.rows, rows):
            stop = min(start + rows, entry.rows)
            units.append(
                Unit(
                    id=unit_id(operation, identity, [entry.content, f"{start}-{stop}"], model),
                    index=len(units),
                    inputs=(f"shard {number}, rows {start}-{stop}",),
                    payload={"shard": list(entry.pinned), "start": start, "stop": stop},
                )
            )
    return Planned(units, [])


@dataclass(frozen=True)
class _Place:
    shard: Pinned
    content: str
    row: int


def _places(dataset: Dataset) -> dict[str, _Place]:
    """Where each sample of a dataset lies, by its id."""
    shards, contents = dataset.units.pinned(), dataset.units.column("content")
    rows = dataset.columns(["sample_id", "_shard", "_row"]).to_pylist()
    return {
        row["sample_id"]: _Place(shards[row["_shard"]], contents[row["_shard"]], row["_row"])
        for row in rows
    }


def no_key_twice(keys: Iterable[str]) -> None:
    """Every input has a key of its own: only then can each be accounted for.

    Raises:
        SpecError: two have the same (code "duplicate-input").
    """
    seen = Distinct()
    for key in keys:
        if not seen.add(key):
            raise SpecError(
                "two inputs have the same key",
                code="duplicate-input",
                about=key,
                hint="two samples have one id: leave one out, in the source or by `select`, or "
                "take another column for `id`",
            )
