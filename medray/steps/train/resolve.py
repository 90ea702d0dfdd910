"""Resolve a training: options of task and network, and the data by what they hold."""

from typing import Any

from pydantic import TypeAdapter

from medray.modalities import MODALITIES
from medray.models import MODELS
from medray.spec.check import check
from medray.spec.documents import Place
from medray.spec.training import TrainSettings
from medray.steps.base.resolved import Resolved, filled
from medray.steps.train.spec import TrainSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects
from medray.tasks import TASKS


def resolve(spec: TrainSpec, objects: Objects, place: Place) -> Resolved[TrainSpec]:
    """See medray.steps.base.step.Step."""
    task, model = TASKS.get(spec.task.name), MODELS.get(spec.model.name)
    spec = spec.model_copy(
        update={
            "task": filled(spec.task, task.Options, place, "task"),
            "model": filled(spec.model, model.Options, place, "model"),
        }
    )
    spec = spec.model_copy(update={"train": _settings(spec, model.takes, place)})
    data = open_dataset(objects, spec.data)
    # By what the data hold: a version of the same samples, repaired, is not learnt from again.
    parents, made_of = [data.reference], [f"{data.name} {data.digest}"]
    if spec.train.init_from:
        first = open_model(objects, spec.train.init_from).reference
        parents.append(first)
        made_of.append(first)
        settings = spec.train.model_copy(update={"init_from": first})
        spec = spec.model_copy(update={"train": settings})
    return Resolved(spec, spec.output, parents=parents, made_of=made_of)


def _settings(spec: TrainSpec, takes: str, place: Place) -> TrainSettings:
    """With every choice that there is about augmentation."""
    if spec.train.augment is None:
        return spec.train
    adapter: TypeAdapter[Any] = TypeAdapter(MODALITIES.get(takes).Augment)
    made = check(adapter, spec.train.augment, lambda *parts: place("train", "augment", *parts))
    return spec.train.model_copy(update={"augment": made.model_dump(mode="json")})
