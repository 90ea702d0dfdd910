"""Resolve a training: options of task and network, and the data by what they hold."""

import hashlib
from pathlib import Path

from pydantic import TypeAdapter

from medray.engine.training.objectives import models_of
from medray.errors import SpecError
from medray.modalities import MODALITIES
from medray.modalities.plan import Augment
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
    modality = MODALITIES.get(model.takes)
    given = check(TypeAdapter(modality.PlanOptions), spec.plan, lambda *at: place("plan", *at))
    settings = _settings(spec.train, modality.Augment, place)
    spec = spec.model_copy(update={"plan": given.model_dump(mode="json"), "train": settings})
    data = open_dataset(objects, spec.data)
    # By what the data hold: a version of the same samples, repaired, is not learnt from again.
    parents, made_of = [data.reference], [f"{data.name} {data.digest}"]
    if spec.unlabelled is not None and spec.unlabelled.data is not None:
        other = open_dataset(objects, spec.unlabelled.data)
        parents.append(other.reference)
        made_of.append(f"{other.name} {other.digest}")
    begins = spec.train.init_from
    if begins is not None and begins.model is not None:
        first = open_model(objects, begins.model).reference
        parents.append(first)
        made_of.append(first)
        pinned_first = begins.model_copy(update={"model": first})
        settings = spec.train.model_copy(update={"init_from": pinned_first})
        spec = spec.model_copy(update={"train": settings})
    elif begins is not None and begins.vectors is not None:
        files = (begins.vectors.file, begins.vectors.vocabulary)
        made_of += [f"vectors {_hash(one)}" for one in files if one]
    objective = spec.train.objective
    pinned = {f: open_model(objects, one).reference for f, one in models_of(objective)}
    if objective is not None and pinned:
        parents += pinned.values()
        made_of += pinned.values()
        objective = objective.model_copy(update=pinned)
        settings = spec.train.model_copy(update={"objective": objective})
        spec = spec.model_copy(update={"train": settings})
    return Resolved(spec, spec.output, parents=parents, made_of=made_of)


def _hash(path: str) -> str:
    """SHA-256 of a file of vectors."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise SpecError(
            "the file of vectors cannot be read",
            code="no-vectors",
            about=path,
            hint="it has to be where the job is driven",
        ) from None


def _settings(settings: TrainSettings, kind: type[Augment], place: Place) -> TrainSettings:
    """With every choice that there is about augmentation."""
    if settings.augment is None:
        return settings
    made = check(TypeAdapter(kind), settings.augment, lambda *at: place("train", "augment", *at))
    return settings.model_copy(update={"augment": made.model_dump(mode="json")})
