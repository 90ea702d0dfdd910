"""Conclude a scoring: variants by status, and where its shards lie."""

from collections.abc import Sequence
from typing import Any

from medray.steps.variants.reuse import EXTENTS, extent_of
from medray.steps.variants.windows import STATUSES
from medray.storage.shards.reader import Shard


def conclude(shards: Sequence[Shard | None]) -> dict[str, Any]:
    """See medray.steps.base.step.Step."""
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    extents: list[dict[str, list[int]]] = []
    for shard in shards:
        table = None if shard is None else shard.columns(["contig", "pos", "status"])
        extents.append({} if table is None else extent_of(table))
        for pair in [] if table is None else table["status"].value_counts().to_pylist():
            counts[pair["values"]] += pair["counts"]
    metrics = {"variants": sum(counts.values()), **{k: n for k, n in counts.items() if n}}
    return {"metrics": metrics, EXTENTS: extents}
