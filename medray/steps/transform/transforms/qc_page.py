"""What the pages of quality controls share: tiles of counts, thresholds, axes of components."""

from collections.abc import Mapping, Sequence
from typing import Any

from medray.tasks.metric import Metric
from medray.tasks.section import Figure, Table, Tile

_COLUMNS = {
    "threshold": Metric("threshold", kind="text"),
    "value": Metric("value"),
    "count": Metric("do not keep to it", kind="count"),
}


def tile(label: str, value: str, note: str) -> Tile:
    """What there is to see first."""
    return Tile(Metric(label, kind="text"), value, note)


def thresholds(limits: Mapping[str, Any], refused: Mapping[str, int]) -> list[Table]:
    """How many do not keep to each threshold; no table where there is none."""
    rows = [
        {"threshold": name, "value": f"{limits[name]:g}", "count": count}
        for name, count in refused.items()
    ]
    note = "Masks stand beside the data; nothing was taken out of it."
    return [Table(_COLUMNS, rows, note=note)] if rows else []


def histograms(
    found: Mapping[str, Mapping[str, Any]],
    wanted: Sequence[tuple[str, str, str, float | None]],
) -> list[Figure]:
    """Those that are there of (key, title, label, limit)."""
    return [
        Figure("histogram", title, {"label": label, **found[key], "limit": limit})
        for key, title, label, limit in wanted
        if key in found
    ]


def components(title: str, found: Mapping[str, Any], **more: Any) -> list[Figure]:
    """The first two components against each other; nothing where there are fewer."""
    if len(found["coordinates"]) < 2:
        return []
    labels = tuple(
        f"component {n + 1} ({(share or 0):.1%} of the variance)"
        for n, share in enumerate(found["explained"][:2])
    )
    x, y = found["coordinates"][:2]
    return [Figure("scatter", title, {"labels": labels, "x": x, "y": y, **more})]
