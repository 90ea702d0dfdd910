"""The check of an evaluation: predictions of a task, and data that have its truth."""

from medray.steps.base.facts import Data
from medray.steps.base.fits import same_classes, task_of
from medray.steps.base.view import View
from medray.steps.evaluate.spec import EvaluateSpec
from medray.storage.shards.holds import Holds, names


def check(view: View, spec: EvaluateSpec) -> None:
    """The predictions can be scored by these data."""
    predictions, data = view.data("predictions", spec.predictions), view.data("data", spec.data)
    if predictions.kind and (predictions.task is None or not predictions.scorable):
        hint = f"it was made by a step of kind {predictions.kind}"
        message = "the dataset holds no answers that can be scored"
        view.add("predictions", "no-predictions", message, hint)
    elif predictions.task is not None:
        task = task_of(view, predictions.task)
        if task is not None:
            with view.at("data"):
                task.needs.check(data.holds, learnt=False)
                same_classes(task, data)
    with view.at("select"):
        data.holds.check_where(spec.select or {})
    view.makes("output", spec.output, Data(spec.kind, Holds(names())))
