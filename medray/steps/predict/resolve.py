"""Resolve a prediction: the model and the samples that it answers for."""

from medray.errors import SpecError
from medray.models import MODELS
from medray.steps.base.planned import plan_shards
from medray.steps.base.resolved import Resolved
from medray.steps.predict.spec import PredictSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

OPERATION = "medray.steps.predict.operation:Predict"


def resolve(spec: PredictSpec, objects: Objects) -> Resolved[PredictSpec]:
    """See medray.steps.base.step.Step."""
    model, data = open_model(objects, spec.model), open_dataset(objects, spec.data)
    identity = spec.model_dump(include={"overlap", "tta", "precision", "batch", "outputs"})
    takes = MODELS.get(model.config["model"]["name"]).takes
    if spec.outputs not in ("labels", "probabilities") and takes != "sequence":
        raise SpecError(
            f"{spec.outputs} is of networks that take sequences",
            code="no-attributions",
            about=model.reference,
            hint=f"this one takes {takes}s",
        )
    if "folds" in model.config:
        identity["held_out"] = data.name == model.parents[0].partition("@")[0]
    planned = plan_shards(
        data, "predict", identity=identity, select=spec.select, model=model.digest
    )
    return Resolved(
        spec,
        spec.output,
        parents=[data.reference, model.reference],
        operation=OPERATION,
        parameters={**identity, "model": model.reference},
        planned=planned,
        attributes={
            "task": model.config["task"],
            "model": model.reference,
            "data": data.reference,
            "select": spec.select,
            "outputs": spec.outputs,
        },
        runs_on=spec.engine,
    )
