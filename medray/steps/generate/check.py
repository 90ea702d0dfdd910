"""The check of a generation: the model is one that draws samples, and can be asked to draw so."""

from pydantic import BaseModel, TypeAdapter

from medray.modalities import MODALITIES
from medray.spec.check import tried
from medray.steps.base.facts import Data
from medray.steps.base.fits import network_of, task_of
from medray.steps.base.view import View
from medray.steps.generate.spec import GenerateSpec
from medray.storage.shards.holds import Holds


def check(view: View, spec: GenerateSpec) -> None:
    """See medray.steps.base.step.Step."""
    model, holds = view.model("model", spec.model), Holds()
    if spec.features is not None:
        view.model("features", spec.features)
    kind = network_of(view, model)
    task = None if model.task is None else task_of(view, model.task)
    if kind is not None:
        generation = MODALITIES.get(kind.takes)().generation()
        if (
            generation is None
            or not generation.draws(kind)
            or (task is not None and task.answers != generation.answers)
        ):
            message = "the model says something of samples, and draws none"
            view.add("model", "no-generation", message, "take one that has learnt to draw")
        elif model.folds:
            hint = "train one on all samples, without `folds`"
            view.add("model", "folded-model", "one network draws, not one for each fold", hint)
        else:
            options: TypeAdapter[BaseModel] = TypeAdapter(generation.Options)
            found = tried(options, spec.options)
            if isinstance(found, list):
                view.bad(found, "options")
            for library in generation.libraries:
                view.library("model", library)
            holds = generation.holds
            if spec.features is not None and not generation.compares:
                message = "its samples are not compared by features"
                view.add("features", "no-comparison", message, "leave `features` out")
    view.makes("output", spec.output, Data(spec.kind, holds))
