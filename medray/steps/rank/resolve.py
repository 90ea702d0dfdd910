"""Resolve a ranking: the best of each shard, then the best of those."""

from dataclasses import replace

from medray.engine.units.operation import Unit
from medray.errors import SpecError
from medray.ids import unit_id
from medray.steps.base.planned import Planned, plan_rows
from medray.steps.base.resolved import Resolved
from medray.steps.rank.spec import RankSpec
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects

ROWS = 2**20  # of a unit of the first wave, at most
NUMBERS = ("int", "uint", "float", "double", "halffloat")


def resolve(spec: RankSpec, objects: Objects) -> Resolved[RankSpec]:
    """See medray.steps.base.step.Step.

    Raises:
        SpecError: there is no such column of numbers (code "no-such-column").
    """
    data = open_dataset(objects, spec.data)
    kind = data.manifest.columns.get(spec.by)
    if kind is None or not kind.startswith(NUMBERS):
        raise SpecError(
            f"the samples have no column {spec.by!r} of numbers",
            code="no-such-column",
            about=data.reference,
            hint=f"columns: {', '.join(data.manifest.columns)}",
        )
    how = spec.model_dump(include={"by", "best", "count"})
    parts = plan_rows(data, "rank/part", identity=how, rows=ROWS)
    ids = [unit.id for unit in parts.units]
    whole = Unit(unit_id("rank", how, ids), 0, (f"the best {spec.count}",), {"parts": ids})
    ranked = Resolved(
        spec,
        spec.output,
        parents=[data.reference],
        operation="medray.steps.rank.operation:Rank",
        parameters={**how, "parts": spec.output},
        planned=Planned([whole], []),
        attributes={"data": data.reference, "models": _models(data), "ranked": how},
    )
    first = replace(ranked, operation="medray.steps.rank.operation:Part", planned=parts)
    return replace(ranked, first=first)


def _models(data: Dataset) -> list[str]:
    """Those that made the data, where models did."""
    several, one = data.attributes.get("models", {}), data.attributes.get("model")
    return [*several.values(), *([one] if one else [])]
