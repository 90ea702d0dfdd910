"""Resolve a screening: models, and ranges of the samples that they answer for."""

from typing import Any

from medray.errors import SpecError
from medray.modalities import modality_of
from medray.spec.documents import Place
from medray.steps.base.planned import plan_rows
from medray.steps.base.resolved import Resolved
from medray.steps.screen.operation import columns_of
from medray.steps.screen.spec import ScreenSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.store.objects import Objects
from medray.tasks import build_task

OPERATION = "medray.steps.screen.operation:Screen"


def resolve(spec: ScreenSpec, objects: Objects, place: Place) -> Resolved[ScreenSpec]:
    """See medray.steps.base.step.Step.

    Raises:
        SpecError: a model has no number for a sample (code "no-score").
    """
    data = open_dataset(objects, spec.data)
    models = {column: open_model(objects, name) for column, name in sorted(spec.models.items())}
    columns: list[str] = []
    for column, model in models.items():
        columns += columns_of(column, _outputs(model, place("models", column)))
    how = {**spec.model_dump(include={"precision", "batch"}), "keep": list(spec.keep)}
    digests: dict[str, Any] = {column: model.digest for column, model in models.items()}
    references = {column: model.reference for column, model in models.items()}
    return Resolved(
        spec,
        spec.output,
        parents=[data.reference, *references.values()],
        operation=OPERATION,
        parameters={**how, "models": references},
        planned=plan_rows(data, "screen", identity={**how, "models": digests}, rows=spec.unit),
        attributes={"data": data.reference, "models": references, "scores": columns},
    )


def _outputs(model: ModelPackage, where: str) -> tuple[str, ...]:
    task = build_task(model.config["task"])
    modality = modality_of(model.config["model"])
    if task.answers != "sample" or (
        "folds" in model.config and not modality.averages(task.answers)
    ):
        raise SpecError(
            "the model has no number for a sample",
            code="no-score",
            about=where,
            hint="take a model that is asked about samples as a whole",
        )
    return task.classes
