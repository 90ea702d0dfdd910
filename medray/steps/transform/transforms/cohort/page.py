"""What a cohort has to show."""

from collections.abc import Mapping
from typing import Any

from medray.tasks.metric import Metric
from medray.tasks.section import Section, Table, Tile

FEW = 200  # events, below which a score says next to nothing
GUARD = (
    "Up to {} samples of each shard were made again of the events that were known at their "
    "prediction times alone, and were the same byte by byte."
)
_SAMPLES = {
    "split": Metric("split", kind="text"),
    "samples": Metric("samples", kind="count"),
    "events": Metric("with the event", kind="count"),
    "share": Metric("share"),
}


def section(name: str, found: Mapping[str, Any]) -> Section:
    """Of a dataset's attribute `cohort`, as `Cohort.conclude` makes it."""
    counts = found["samples"]
    rows = [
        {"split": split, "samples": many, "events": events, "share": events / many}
        for split, (many, events) in sorted(counts.items())
    ]
    columns = dict(_SAMPLES)
    if not found["asked"]:
        columns = {key: columns[key] for key in ("split", "samples")}
    samples = sum(many for many, _ in counts.values())
    events = sum(had for _, had in counts.values())
    cautions = []
    if found["asked"] and events < FEW:
        cautions.append(
            f"{found['subjects']} subjects and {events} events prove nothing: the cohort {name} "
            "shows that the way works, and its scores are not to be used"
        )
    guard = GUARD.format(found["options"]["guard"])
    return Section(
        title=f"Cohort: {name}",
        tiles=[
            Tile(Metric("samples", kind="count"), samples),
            Tile(Metric("subjects", kind="count"), found["subjects"], f"of {found['of']:,}"),
            Tile(Metric("codes", kind="count"), found["codes"], "chosen on training subjects"),
        ],
        tables=[Table(columns, rows, note=_rule(found["options"]))],
        notes=[guard],
        cautions=cautions,
    )


def _rule(options: Mapping[str, Any]) -> str:
    """What is asked, in words."""
    at, label = options["at"], options["label"]
    told = f"Predicted at {', '.join(at['event'])}"
    told += f" + {at['plus']}" if at["plus"] else ""
    told += f", every {at['every']} until {', '.join(at['until'])}" if at["every"] else ""
    if label:
        horizon = f"within {label['within']}" if label["within"] else "before the next of"
        until = "" if label["within"] else f" {', '.join(label['until'])}"
        told += f": whether {', '.join(label['event'])} comes {horizon}{until}"
    return f"{told}. Candidates that are left out stand in the quarantine's table, by reason."
