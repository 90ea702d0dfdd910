"""Resolve a transform: the dataset it goes over, and those that it looks things up in."""

from medray.errors import SpecError
from medray.spec.documents import Place
from medray.steps.base.planned import plan_rows, plan_union
from medray.steps.base.resolved import Resolved, filled
from medray.steps.transform.operation import transformation
from medray.steps.transform.spec import TransformSpec
from medray.steps.transform.transforms import TRANSFORMS
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

OPERATION = "medray.steps.transform.operation:Transform"
ROWS = 2**20  # of a shard that are gone over together


def resolve(spec: TransformSpec, objects: Objects, place: Place) -> Resolved[TransformSpec]:
    """See medray.steps.base.step.Step."""
    kind = TRANSFORMS.get(spec.operation.name)
    plugin = filled(spec.operation, kind.Options, place, "operation")
    data = open_dataset(objects, spec.data)
    if not kind.required <= set(spec.using) <= set(kind.roles):
        raise SpecError(
            f"{spec.operation.name} uses {', '.join(kind.roles) or 'no further dataset'}",
            code="bad-roles",
            about=place("using"),
            hint=f"it needs {', '.join(sorted(kind.required)) or 'none of them'}",
        )
    using = {role: open_dataset(objects, name) for role, name in sorted(spec.using.items())}
    identity = {
        "operation": plugin.model_dump(mode="json"),
        "using": {role: dataset.digest for role, dataset in using.items()},
        "attributes": kind.reads(data.attributes, frozenset(spec.using)),
        **({"whole": data.digest} if kind.whole else {}),
    }
    if kind.together:
        if spec.select:
            raise SpecError(
                f"{spec.operation.name} goes over all samples",
                code="selects-none",
                about=place("select"),
                hint="leave `select` out; the operation's options say whom it takes",
            )
        planned = plan_rows(data, "transform", identity=identity, rows=ROWS)
    else:
        parts = [data, *(using[role] for role in kind.adds)]
        planned = plan_union(parts, "transform", identity=identity, select=spec.select)
    references = {role: dataset.reference for role, dataset in using.items()}
    parameters = {**identity, "using": references, "data": data.reference}
    transformation(parameters, objects).accept()
    return Resolved(
        spec.model_copy(update={"operation": plugin}),
        spec.output,
        parents=[data.reference, *references.values()],
        operation=OPERATION,
        parameters=parameters,
        planned=planned,
        attributes={"operation": plugin.name, "data": data.reference},
    )
