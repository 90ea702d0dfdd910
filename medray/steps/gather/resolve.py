"""Resolve a gathering: shares of all subjects, by the hashes of their names."""

from medray.engine.units.operation import Unit
from medray.ids import unit_id
from medray.steps.base.planned import Planned
from medray.steps.base.resolved import Resolved
from medray.steps.gather.check import PARTS
from medray.steps.gather.spec import GatherSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.holds import Holds, names
from medray.storage.store.objects import Objects

SHARD_BYTES = 32 * 2**20  # as parts are stored: some ten times as much in memory


def resolve(spec: GatherSpec, objects: Objects) -> Resolved[GatherSpec]:
    """See medray.steps.base.step.Step.

    Raises:
        SpecError: the data are no parts of subjects (code "no-events").
    """
    data = open_dataset(objects, spec.data)
    PARTS.check(Holds(names(data.manifest.arrays), names(data.manifest.columns)))
    size = int(sum(data.units.column("bytes")))
    count = spec.shards or max(1, -(-size // SHARD_BYTES))
    contents = data.units.column("content")
    identity = {"of": count, "tables": data.attributes["tables"]}
    units = [
        Unit(
            id=unit_id("gather", {**identity, "share": share}, contents),
            index=share,
            inputs=(f"subjects, share {share + 1} of {count}",),
            payload={"share": share},
        )
        for share in range(count)
    ]
    return Resolved(
        spec,
        spec.output,
        parents=[data.reference],
        operation="medray.steps.gather.operation:Gather",
        parameters={**identity, "data": data.reference, "once": data.attributes.get("once", [])},
        planned=Planned(units, []),
        attributes={"data": data.reference, "tables": data.attributes["tables"]},
    )
