"""Plan an export whose files hold the rows of many units: first parts, then a unit a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from medray.engine.units.operation import Unit
from medray.errors import SpecError
from medray.formats.bucket import outlined
from medray.formats.joined import Joined, Share
from medray.ids import digest, unit_id
from medray.steps.base.planned import Planned
from medray.steps.base.sources import source_of
from medray.steps.export.join import item_fields
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.records import Refusal
from medray.storage.store.objects import Objects


@dataclass(frozen=True)
class PlannedJoin:
    """An export in two waves.

    Args:
        parts: of the first; None where the format joins rows as they are.
        files: of the second.
        parameters: of both operations.
    """

    parts: Planned | None
    files: Planned
    parameters: dict[str, Any]


def plan_join(
    made: Joined,
    data: Dataset,
    objects: Objects,
    *,
    identity: dict[str, Any],
    select: dict[str, Any],
) -> PlannedJoin:
    """Units of the export of a dataset by a format that joins.

    Args:
        made: the format, with its options.
        data: what is exported.
        objects: the storage root.
        identity: everything but inputs that decides what is made; `format` among it.
        select: only rows whose columns have these values.

    Raises:
        SpecError: the raw files that it goes back to are not there, or are others.
    """
    about = {**data.attributes, "name": data.name, "digest": data.digest}
    for large in ("extents", "summary"):
        about.pop(large, None)
    _check_columns(data, select)
    shares, refused = _shares(made, data, objects, about)
    contents = data.units.column("content")

    def stored(share: Share) -> list[str]:
        ranges = [f"{contents[n]}:{start}-{stop}" for n, start, stop in share.ranges]
        return [digest(share.item[:-1]) if share.item else "", *ranges]

    whole = {**identity, "about": about, "where": select}
    of_parts = {key: value for key, value in whole.items() if key != "target"}
    parts = [
        Unit(
            id=unit_id(f"part/{made.name}", of_parts, [share.file, *stored(share)]),
            index=index,
            inputs=(share.key,),
            payload={
                "file": share.file,
                "ranges": [list(one) for one in share.ranges],
                "item": item_fields(share),
            },
        )
        for index, share in enumerate(shares)
    ]
    files: list[Unit] = []
    for name in dict.fromkeys(share.file for share in shares):
        own = [at for at, share in enumerate(shares) if share.file == name]
        files.append(
            Unit(
                id=unit_id(f"join/{made.name}", whole, [name, *(parts[at].id for at in own)]),
                index=len(files),
                inputs=(name,),
                payload={
                    "item": parts[own[0]].payload["item"],
                    "ranges": [parts[at].payload["ranges"] for at in own],
                    "parts": [parts[at].id for at in own] if made.parts else [],
                },
            )
        )
    parameters = {
        "format": identity["format"],
        "about": about,
        "where": select,
        "shards": [list(shard) for shard in data.units.pinned()],
    }
    first = Planned(parts, []) if made.parts else None
    return PlannedJoin(first, Planned(files, refused), parameters)


def _shares(
    made: Joined, data: Dataset, objects: Objects, about: dict[str, Any]
) -> tuple[list[Share], list[Refusal]]:
    def look(columns: list[str]) -> Iterator[pa.Table | None]:
        for rows, shard in zip(data.units.column("rows"), data.shards, strict=True):
            yield shard.columns(columns) if rows else None

    if not made.raw:
        return made.shares(about, look, None)
    if "://" not in made.raw:
        return made.shares(about, look, source_of(made.raw))
    with outlined(objects.beside(made.raw)) as outline:
        shares, refused = made.shares(about, look, outline)
        return shares, [*refused, *outline.refused]


def _check_columns(data: Dataset, select: dict[str, Any]) -> None:
    for rows, shard in zip(data.units.column("rows"), data.shards, strict=True):
        names = shard.table.column_names if select and rows else list(select)
        missing = [column for column in select if column not in names]
        if missing:
            raise SpecError(
                f"there is no column {missing[0]!r} to select by",
                code="no-such-column",
                about=data.name,
                hint=f"columns: {', '.join(names)}",
            )
