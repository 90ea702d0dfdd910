"""Resolve a prediction: the model and the samples that it answers for."""

from typing import Literal

from pydantic import TypeAdapter

from medray.engine.training.learnt import learnt_from
from medray.errors import SpecError
from medray.modalities import MODALITIES
from medray.modalities.kept import FILE
from medray.models import MODELS
from medray.spec.check import check
from medray.spec.documents import Place
from medray.steps.base.planned import plan_shards
from medray.steps.base.resolved import Resolved
from medray.steps.predict.spec import PredictSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects
from medray.tasks import build_task

OPERATION = "medray.steps.predict.operation:Predict"


def resolve(spec: PredictSpec, objects: Objects, place: Place) -> Resolved[PredictSpec]:
    """See medray.steps.base.step.Step.

    Raises:
        SpecError: what is asked for takes what the model's package does not keep (code
            "nothing-kept").
    """
    model, data = open_model(objects, spec.model), open_dataset(objects, spec.data)
    network = MODELS.get(model.config["model"]["name"])
    modality = MODALITIES.get(network.takes)()
    asked = check(
        TypeAdapter(modality.PredictOptions), spec.options, lambda *at: place("options", *at)
    )
    made = modality.outputs(network, build_task(model.config["task"]), asked)
    if made.of_kept and FILE not in model.files:
        raise SpecError(
            "the model does not know what it learnt from",
            code="nothing-kept",
            about=model.reference,
            hint="train it again, or ask without it",
        )
    options = asked.model_dump(mode="json")
    held_out: Literal[False, "fold", "subject"] = False
    # Of others of that dataset, or a version that holds others, all networks can be asked.
    if model.config.get("folds", {}).get("column") and learnt_from(
        model, data, data.select(spec.select)
    ):
        if data.name == model.parents[0].partition("@")[0]:
            held_out = "fold"
        elif "subject" in data.manifest.columns:
            held_out = "subject"
    how = spec.model_dump(include={"precision", "batch"})
    identity = {"options": options, **how, "held_out": held_out}
    planned = plan_shards(
        data, "predict", identity=identity, select=spec.select, model=model.digest
    )
    return Resolved(
        spec.model_copy(update={"options": options}),
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
            "scorable": made.scorable,
            "held_out": held_out,
        },
        runs_on=spec.engine,
    )
