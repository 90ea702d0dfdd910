"""Resolve a generation: a model, and slices of what it is to draw."""

from pydantic import TypeAdapter

from medray.engine.units.operation import Unit
from medray.errors import SpecError
from medray.ids import unit_id
from medray.modalities import MODALITIES
from medray.modalities.generation import Generation
from medray.models import MODELS
from medray.spec.check import check
from medray.spec.documents import Place
from medray.steps.base.planned import Planned
from medray.steps.base.resolved import Resolved
from medray.steps.generate.spec import GenerateSpec
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.store.objects import Objects
from medray.tasks import TASKS

OPERATION = "medray.steps.generate.operation:Generate"


def resolve(spec: GenerateSpec, objects: Objects, place: Place) -> Resolved[GenerateSpec]:
    """See medray.steps.base.step.Step.

    Raises:
        SpecError: the model draws nothing (code "no-generation"), or is one of folds (code
            "folded-model").
    """
    model = open_model(objects, spec.model)
    options = check(
        TypeAdapter(generation_of(model).Options),
        spec.options,
        lambda *at: place("options", *at),
    ).model_dump(mode="json")
    identity = {"options": options, "seed": spec.seed}
    features = None if spec.features is None else open_model(objects, spec.features)
    if features is not None and not generation_of(model).compares:
        raise SpecError(
            "its samples are not compared by features",
            code="no-comparison",
            about=place("features"),
            hint="leave `features` out",
        )
    compared = {} if features is None else {"features": features.reference}
    units: list[Unit] = []
    for start in range(0, spec.count, spec.unit):
        stop = min(start + spec.unit, spec.count)
        some = f"{start}-{stop}"
        units.append(
            Unit(
                id=unit_id("generate", identity, [some], model.digest),
                index=len(units),
                inputs=(f"samples {some}",),
                payload={"start": start, "stop": stop},
            )
        )
    return Resolved(
        spec.model_copy(update={"options": options, **compared}),
        spec.output,
        parents=[model.reference, *compared.values()],
        operation=OPERATION,
        parameters={**identity, "model": model.reference},
        planned=Planned(units, []),
        attributes={"model": model.reference, "generation": identity, "synthetic": True},
    )


def generation_of(model: ModelPackage) -> Generation:
    """How a model draws.

    Raises:
        SpecError: see `resolve`.
    """
    if "folds" in model.config:
        raise SpecError(
            "one network draws, not one for each fold",
            code="folded-model",
            about=model.reference,
            hint="train one on all samples, without `folds`",
        )
    network = MODELS.get(model.config["model"]["name"])
    generation = MODALITIES.get(network.takes)().generation()
    if (
        generation is None
        or not generation.draws(network)
        or generation.answers != TASKS.get(model.config["task"]["name"]).answers
    ):
        raise SpecError(
            "the model says something of samples, and draws none",
            code="no-generation",
            about=model.reference,
            hint="take one that has learnt to draw",
        )
    return generation
