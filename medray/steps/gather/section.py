"""What a gathering has to show: that every row of the source is somewhere, and odd codes."""

from collections.abc import Mapping
from typing import Any

from medray.storage.catalog.datasets import Dataset
from medray.tasks.metric import Metric
from medray.tasks.section import Section, Table, Tile

_TABLES = {
    "name": Metric("table", kind="text"),
    "rows": Metric("rows", kind="count"),
    "made": Metric("made events", kind="count"),
    "events": Metric("events", kind="count"),
    "unread": Metric("without the number that belongs to it", kind="count"),
    "dropped": Metric("dropped by rule", kind="count"),
    "bad": Metric("quarantined", kind="count"),
    "why": Metric("why", kind="text"),
}
_CODES = {
    "code": Metric("code", kind="text"),
    "count": Metric("events", kind="count"),
    "units": Metric("units", kind="text"),
}


def section_of(dataset: Dataset) -> Section:
    """Of a dataset that a step of kind gather made."""
    account = dataset.attributes["account"]
    rows = [_row(name, one) for name, one in account["tables"].items()]
    listings = []
    if account["units"]:
        listings.append(
            Table(
                _CODES,
                [
                    {"code": code, "count": sum(units.values()), "units": _counts(units)}
                    for code, units in account["units"]
                ],
                folded=f"{account['several_units']:,} codes whose numbers have several units",
                note="Numbers are kept as they are: nothing is converted.",
            )
        )
    if account["unmapped"]:
        listings.append(
            Table(
                {name: _CODES[name] for name in ("code", "count")},
                [{"code": code, "count": count} for code, count in account["unmapped"]],
                folded=f"{account['unmapped_codes']:,} codes of no vocabulary",
            )
        )
    total = {name: sum(row[name] for row in rows) for name in ("rows", "made", "events")}
    total |= {name: sum(row[name] for row in rows) for name in ("unread", "dropped", "bad")}
    return Section(
        title=f"Records: {dataset.name}",
        tiles=[
            Tile(Metric("subjects", kind="count"), len(dataset)),
            Tile(Metric("events", kind="count"), account["events"]),
            Tile(Metric("codes", kind="count"), account["codes"]),
        ],
        tables=[
            Table(
                _TABLES,
                rows,
                lead="Rows are those that made events, that a rule drops, or that are quarantined.",
                foot={"name": "all", **total} if len(rows) > 1 else None,
            )
        ],
        listings=listings,
    )


def _row(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    dropped, bad = sum(one["dropped"].values()), sum(one["bad"].values())
    return {
        "name": name,
        "rows": one["rows"],
        "made": one["rows"] - dropped - bad,
        "events": one["events"],
        "dropped": dropped,
        "bad": bad,
        "unread": one.get("unread", 0),
        "why": _counts({**one["dropped"], **one["bad"]}),
    }


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in found.items())
