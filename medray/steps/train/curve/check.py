"""The check of a learning curve: each arm is a training that can be."""

from dataclasses import replace

from pydantic import TypeAdapter

from medray.engine.training.objectives import OBJECTIVES
from medray.errors import SpecError
from medray.spec.check import tried
from medray.spec.training import TrainSettings, Unlabelled
from medray.steps.base.facts import Data
from medray.steps.base.view import View
from medray.steps.train.check import check_training
from medray.steps.train.curve.spec import LearningCurveSpec
from medray.steps.train.spec import TrainSpec
from medray.storage.shards.holds import Holds, names


def check(view: View, spec: LearningCurveSpec) -> None:
    """See medray.steps.base.step.Step."""
    data = view.data("data", spec.data)
    with view.at("judge"):
        data.holds.check_where(spec.judge)
    for arm, changed in spec.arms.items():
        given = {**spec.train.model_dump(mode="json", exclude_unset=True), **changed}
        settings = tried(TypeAdapter(TrainSettings), given)
        if isinstance(settings, list):
            view.bad(settings, "arms", arm)
            continue
        known = {(one.field, one.code) for one in view.problems if one.document == view.number}
        before = len(view.problems)
        check_training(view, training_of(spec, settings))
        _alone(view, settings)
        found = [one for one in view.problems[before:] if (one.field, one.code) not in known]
        for at, one in enumerate(found):
            way = one.field.split(".")
            if way[0] == "train" and way[1:2] and way[1] in changed:
                found[at] = replace(one, field=".".join(("arms", arm, *way[1:])))
        view.problems[before:] = found
    columns = Holds(names(), names("arm", "share", "draw", "labels", "unlabelled"))
    source = spec.data.partition("@")[0]
    view.makes("output", spec.output, Data(spec.kind, columns, data=source))


def training_of(spec: LearningCurveSpec, settings: TrainSettings) -> TrainSpec:
    """The training of an arm, with all labels."""
    return TrainSpec(
        kind="train",
        data=spec.data,
        select=spec.select,
        validation={},
        unlabelled=Unlabelled(select=spec.select) if hides(settings) else None,
        task=spec.task,
        model=spec.model,
        train=settings,
        plan=spec.plan,
        output=spec.output,
    )


def hides(settings: TrainSettings) -> bool:
    """Whether samples whose labels are hidden are learnt from without."""
    if settings.objective is None:
        return False
    try:
        return OBJECTIVES.get(settings.objective.name).unlabelled
    except SpecError:
        return False  # there is none of that name, which is told


def _alone(view: View, settings: TrainSettings) -> None:
    """A network is one worker's, and judged at its end."""
    if settings.workers != 1:
        message, hint = "each network of a curve is trained by one worker", "give the pool more"
        view.add("train.workers", "one-worker", message, hint)
    if settings.early_stopping is not None:
        message = "nothing is validated, and the last weights are judged"
        view.add("train.early_stopping", "nothing-validated", message, "leave it out")
