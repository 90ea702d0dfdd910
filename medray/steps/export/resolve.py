"""Resolve an export: the dataset, the images beside it, and the target."""

from dataclasses import replace
from typing import Any

from medray.formats import FORMATS
from medray.formats.joined import Joined
from medray.spec.documents import Place
from medray.steps.base.planned import plan_shards
from medray.steps.base.resolved import Resolved, filled
from medray.steps.export.joins import plan_join
from medray.steps.export.spec import ExportSpec
from medray.steps.export.target import claim, shown
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.versions import check_name
from medray.storage.store.objects import Objects


def resolve(spec: ExportSpec, objects: Objects, place: Place) -> Resolved[ExportSpec]:
    """See medray.steps.base.step.Step."""
    kind = FORMATS.get(spec.format.name)
    plugin = filled(spec.format, kind.Options, place, "format")
    spec = spec.model_copy(update={"format": plugin, "output": check_name(spec.output_name)})
    data = open_dataset(objects, spec.data)
    images = spec.images or data.attributes.get("data")
    identity = {
        "format": plugin.model_dump(mode="json"),
        "target": claim(spec.to, objects),
        "task": data.attributes.get("task"),
    }
    if "features" in data.attributes:
        identity["features"] = data.attributes["features"]
    made = kind(kind.Options.model_validate(plugin.options))
    resolved = Resolved(
        spec,
        spec.output_name,
        parents=[data.reference],
        attributes={"format": plugin.name, "to": shown(spec.to)},
    )
    if isinstance(made, Joined):
        return _join(resolved, made, data, objects, identity)
    return replace(
        resolved,
        operation="medray.steps.export.operation:Export",
        parameters={**identity, "to": spec.to},
        planned=plan_shards(
            data,
            f"export/{plugin.name}",
            identity=identity,
            select=spec.select,
            paired=open_dataset(objects, images) if images else None,
        ),
    )


def _join(
    resolved: Resolved[ExportSpec],
    made: Joined,
    data: Dataset,
    objects: Objects,
    identity: dict[str, Any],
) -> Resolved[ExportSpec]:
    spec = resolved.step
    planned = plan_join(made, data, objects, identity=identity, select=spec.select)
    parts = replace(
        resolved,
        operation="medray.steps.export.join:Part",
        parameters=planned.parameters,
        planned=planned.parts,
    )
    return replace(
        resolved,
        operation="medray.steps.export.join:Join",
        parameters={**planned.parameters, "to": spec.to, "parts": spec.output_name},
        planned=planned.files,
        first=None if planned.parts is None else parts,
    )
