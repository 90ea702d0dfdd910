"""The check of a prediction: the model can answer for such samples, and give such outputs."""

from dataclasses import replace
from typing import TYPE_CHECKING

from medray.modalities import MODALITIES
from medray.steps.base.facts import Data, Model
from medray.steps.base.fits import check_samples, network_of, task_of
from medray.steps.base.view import View
from medray.steps.predict.spec import PredictSpec
from medray.storage.shards.holds import names

if TYPE_CHECKING:
    from medray.models.base import Network
    from medray.tasks.base import Task

EXPLAINED = ("attention", "gradients", "mutagenesis")


def check(view: View, spec: PredictSpec) -> None:
    """The model can answer for such samples, and give such outputs."""
    model, data = view.model("model", spec.model), view.data("data", spec.data)
    with view.at("select"):
        data.holds.check_where(spec.select)
    kind = network_of(view, model)
    task = None if model.task is None else task_of(view, model.task)
    if kind is not None:
        check_samples(view, "data", kind, data)
        _explains(view, spec.outputs, kind, task)
        apart = task is not None and not MODALITIES.get(kind.takes)().averages(task.answers)
        if model.folds and apart and model.data not in ("", spec.data.partition("@")[0]):
            hint = "train one network on all samples to predict others"
            message = "masks of several networks are not averaged"
            view.add("model", "folds-of-masks", message, hint)
    view.makes("output", spec.output, _predicted(spec, kind, task, model, data))


def _explains(view: View, outputs: str, kind: "type[Network]", task: "Task | None") -> None:
    if outputs not in EXPLAINED:
        return
    if kind.takes != "sequence":
        hint = f"this one takes {kind.takes}s"
        message = f"{outputs} is of networks that take sequences"
        view.add("outputs", "no-attributions", message, hint)
    elif task is not None and task.answers == "place":
        message = "a task per base has no one answer to attribute"
        view.add("outputs", "no-attributions", message, "take a model of whole sequences")
    elif outputs == "attention" and not kind.attends:
        hint = "train an attention_lstm, or ask for gradients"
        view.add("outputs", "no-attention", "the network has no attention", hint)
    elif outputs == "gradients":
        view.library("outputs", "captum")


def _predicted(
    spec: PredictSpec,
    kind: "type[Network] | None",
    task: "Task | None",
    model: Model,
    data: Data,
) -> Data:
    arrays: frozenset[str] | None = None
    if spec.outputs in EXPLAINED:
        arrays = names("track")
    elif task is not None and kind is not None:
        masks = kind.takes == "image" and spec.outputs == "labels"
        arrays = names() if task.answers == "sample" else names("label" if masks else "probability")
    columns = data.holds.columns
    if columns is not None:
        columns |= names("contig", "bin_bases", "offset", "names", "probability", "predicted")
    holds = replace(data.holds, arrays=arrays, columns=columns)
    kind_known = "predict" if model.task is not None or spec.outputs in EXPLAINED else ""
    return Data(kind_known, holds, model.task, spec.outputs, spec.data.partition("@")[0])
