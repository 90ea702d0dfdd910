"""Resolve an evaluation: the truth, paired with predictions."""

from medray.errors import SpecError
from medray.steps.base.planned import plan_shards
from medray.steps.base.resolved import Resolved
from medray.steps.evaluate.spec import EvaluateSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

OPERATION = "medray.steps.evaluate.operation:Evaluate"


def resolve(spec: EvaluateSpec, objects: Objects) -> Resolved[EvaluateSpec]:
    """See medray.steps.base.step.Step."""
    data = open_dataset(objects, spec.data)
    predictions = open_dataset(objects, spec.predictions)
    task = predictions.attributes.get("task")
    if task is None or not predictions.attributes.get("scorable"):
        raise SpecError(
            "the dataset holds no answers that can be scored",
            code="no-predictions",
            about=spec.predictions,
            hint=f"it was made by a step of kind {predictions.manifest.kind}",
        )
    select = spec.select if spec.select is not None else predictions.attributes["select"]
    identity = {"task": task}
    planned = plan_shards(data, "evaluate", identity=identity, select=select, paired=predictions)
    return Resolved(
        spec,
        spec.output,
        parents=[predictions.reference, data.reference],
        operation=OPERATION,
        parameters=identity,
        planned=planned,
        attributes={"task": task},
    )
