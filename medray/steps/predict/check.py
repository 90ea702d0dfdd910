"""The check of a prediction: the model can answer for such samples, and be asked so."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

from medray.modalities import MODALITIES
from medray.spec.check import tried
from medray.steps.base.facts import Data
from medray.steps.base.fits import check_samples, network_of, task_of
from medray.steps.base.view import View
from medray.steps.predict.spec import PredictSpec

if TYPE_CHECKING:
    from medray.modalities.base import Modality
    from medray.modalities.made import Made
    from medray.models.base import Network
    from medray.tasks.base import Task


def check(view: View, spec: PredictSpec) -> None:
    """The model can answer for such samples, and its options are its modality's."""
    model, data = view.model("model", spec.model), view.data("data", spec.data)
    with view.at("select"):
        data.holds.check_where(spec.select)
    kind = network_of(view, model)
    task = None if model.task is None else task_of(view, model.task)
    made = None
    if kind is not None:
        check_samples(view, "data", kind, data, learnt=False)
        modality = MODALITIES.get(kind.takes)()
        made = _made(view, spec, modality, kind, task)
        alone = task is not None and not modality.averages(task.answers)
        if model.folds and alone and model.data not in ("", spec.data.partition("@")[0]):
            hint = "train one network on all samples to predict others"
            message = "such answers of several networks are not averaged"
            view.add("model", "folds-of-masks", message, hint)
    holds, scorable = replace(data.holds, arrays=None), True
    if made is not None:
        columns = None if holds.columns is None else holds.columns | made.columns
        holds, scorable = replace(holds, arrays=made.arrays, columns=columns), made.scorable
    known = spec.kind if made is not None else ""
    source = spec.data.partition("@")[0]
    view.makes("output", spec.output, Data(known, holds, model.task, scorable, source))


def _made(
    view: View,
    spec: PredictSpec,
    modality: "Modality",
    kind: "type[Network]",
    task: "Task | None",
) -> "Made | None":
    """What the answers will hold; None where that is not known."""
    adapter: TypeAdapter[BaseModel] = TypeAdapter(modality.PredictOptions)
    options = tried(adapter, spec.options)
    if isinstance(options, list):
        view.bad(options, "options")
    elif task is not None:
        with view.at("options"):
            return modality.outputs(kind, task, options)
    return None
