"""A kind of step from outside: `thin` keeps every so many samples of a dataset. One module."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from medray.engine.units.operation import Operation, Unit
from medray.spec.base import Name, Reference
from medray.spec.documents import Place
from medray.spec.step import StepSpec
from medray.steps.base.facts import Data
from medray.steps.base.planned import plan_shards
from medray.steps.base.resolved import Resolved
from medray.steps.base.step import Step
from medray.steps.base.view import View
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, decode, encode
from medray.storage.shards.stored import InShard
from medray.storage.store.objects import Objects


class ThinSpec(StepSpec):
    """A dataset to fewer of its samples."""

    kind: Literal["thin"]
    data: Reference
    every: int = Field(2, ge=1, description="of these, the first is kept")
    output: Name


class Keep(Operation):
    """Samples with their arrays, but for those that are left out. Parameters: `every`, `arrays`."""

    name: ClassVar[str] = "keep"

    @property
    def arrays(self) -> Arrays:
        return decode(self.parameters["arrays"])

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        at = unit.inputs.index(key)
        if at % self.parameters["every"]:
            yield Refusal(key, "thinned", "not asked for", kind="passed-over")
            return
        shard, row = Shard(self.objects, Pinned(*unit.payload["shard"])), unit.payload["rows"][at]
        one = InShard(shard, row)
        yield Sample(one.id, one.row, {name: one.array(name)[...] for name in one.names})


class Thin(Step):
    """A dataset to fewer of its samples."""

    name: ClassVar[str] = "thin"
    Spec: ClassVar[type[ThinSpec]] = ThinSpec

    def check(self, view: View, spec: ThinSpec) -> None:
        view.makes("output", spec.output, Data(spec.kind, view.data("data", spec.data).holds))

    def resolve(self, spec: ThinSpec, objects: Objects, place: Place) -> Resolved[ThinSpec]:
        data, identity = open_dataset(objects, spec.data), {"every": spec.every}
        return Resolved(
            spec,
            spec.output,
            parents=[data.reference],
            operation="thinning:Keep",
            parameters={**identity, "arrays": encode(data.manifest.arrays)},
            planned=plan_shards(data, "thin", identity=identity, select={}),
        )

    def conclude(
        self, resolved: Resolved[ThinSpec], objects: Objects, shards: Sequence[Shard | None]
    ) -> dict[str, Any]:
        kept = sum(len(shard.table) for shard in shards if shard)
        return {"metrics": {"kept": kept, "every": resolved.step.every}}


def plug(folder: Path) -> list[str]:
    """Writes what an installed package of it would bring; returns where Python has to look."""
    metadata = folder / "thinning-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: thinning\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[medray.steps]\nthin = thinning:Thin\n")
    return [str(folder), str(Path(__file__).parent)]
