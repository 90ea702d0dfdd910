"""Resolve an ingest: look into the source, and plan."""

from medray.formats import FORMATS
from medray.ids import short
from medray.spec.documents import Place
from medray.steps.base.resolved import Resolved, filled
from medray.steps.ingest.found import found_in
from medray.steps.ingest.plan import plan_ingest
from medray.steps.ingest.regroup import earlier
from medray.steps.ingest.spec import IngestSpec
from medray.storage.shards.schema import encode
from medray.storage.store.objects import Objects

OPERATION = "medray.steps.ingest.operation:Ingest"


def resolve(spec: IngestSpec, objects: Objects, place: Place) -> Resolved[IngestSpec]:
    """See medray.steps.base.step.Step."""
    kind = FORMATS.get(spec.format.name)
    spec = spec.model_copy(update={"format": filled(spec.format, kind.Options, place, "format")})
    options = kind.Options.model_validate(spec.format.options)
    split = spec.split.parameters() if spec.split else None
    identity = {"format": spec.format.model_dump(mode="json"), "split": split}
    found = found_in(kind(options), spec, objects)
    planned = plan_ingest(
        found,
        name=spec.format.name,
        identity=identity,
        samples=spec.unit_samples,
        before=earlier(objects, spec.output, short(spec.identity()), spec.unit_samples),
    )
    return Resolved(
        spec,
        spec.output,
        parents=[],
        operation=OPERATION,
        parameters={
            **identity,
            **spec.model_dump(include={"source", "fingerprint", "follow_links"}),
            **({"arrays": encode(found.arrays)} if found.arrays else {}),
        },
        planned=planned,
        attributes={**found.attributes, "format": spec.format.name},
    )
