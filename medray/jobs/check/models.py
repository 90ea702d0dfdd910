"""The check of the steps that learn and answer: network, task and data, held against each other."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medray.errors import SpecError
from medray.jobs.check.facts import Data, Model
from medray.jobs.check.view import View
from medray.models import MODELS
from medray.spec.base import Plugin
from medray.spec.jobs import Predict, Train
from medray.spec.profiles import Inline
from medray.storage.shards.holds import Holds, Needs, names
from medray.tasks import TASKS, build_task

if TYPE_CHECKING:
    from medray.models.base import Network
    from medray.tasks.base import Task

EXPLAINED = ("attention", "gradients", "mutagenesis")
SITE = ("contig", "pos", "ref", "alt")


def check_train(view: View, step: Train) -> None:
    """Task, network and data fit each other, and the settings fit all of them."""
    data = view.data("data", step.data)
    task = task_of(view, step.task.model_dump(mode="json"), "task")
    found = view.plugin(MODELS, step.model, "model")
    with view.at("select"):
        data.holds.check_where(step.select)
    if step.folds is not None:
        with view.at("folds"):
            data.holds.check_where({step.folds: ""})
    elif step.validation and step.validation != Train.model_fields["validation"].default:
        with view.at("validation"):
            data.holds.check_where(step.validation)
    if step.train.init_from:
        view.model("train.init_from", step.train.init_from)
    if task is not None:
        _objective(view, step, task)
        with view.at("task"):
            task.needs.check(data.holds)
            same_classes(task, data.holds)
    if found is not None:
        _fits(view, "data", found[0], data)
        if task is not None and not _pair(view, found[0], task):
            found = task = None  # what follows is not blamed
        elif task is not None:
            from medray.engine.training.rehearse import rehearse

            rehearse(step, task, data.holds.axes, view.add)
    if step.train.precision == "fp16" and view.profile is not None:
        inline = isinstance(view.profile, Inline)
        if not inline and not view.profile.pool("train").gpus:
            view.add("train.precision", "fp16-needs-cuda", "fp16 needs a GPU", "take bf16 or fp32")
    made = Model(
        None if found is None else step.model.model_dump(mode="json"),
        None if task is None else step.task.model_dump(mode="json"),
        step.folds is not None,
        step.data.partition("@")[0],
    )
    view.makes("output", step.output, made)


def _objective(view: View, step: Train, task: "Task") -> None:
    """The objective is there, and can do with the settings and the task."""
    from medray.engine.training.objectives import OBJECTIVES, objective_of
    from medray.engine.training.objectives.base import check_objective

    chosen = step.train.objective
    if chosen is None or view.plugin(OBJECTIVES, chosen, "train.objective"):
        with view.at("train.objective"):
            check_objective(objective_of(chosen, task), step.train, task)


def check_predict(view: View, step: Predict) -> None:
    """The model can answer for such samples, and give such outputs."""
    model, data = view.model("model", step.model), view.data("data", step.data)
    with view.at("select"):
        data.holds.check_where(step.select)
    kind = _network(view, model)
    task = None if model.task is None else task_of(view, model.task)
    if model.folds and step.engine == "serve":
        hint = "leave `engine` out, or train one network on all samples, without `folds`"
        message = "replicas answer by one network, and the model is one for each fold"
        view.add("engine", "folded-model", message, hint)
    if step.variants is not None:
        _variants(view, step, kind, task, data)
        view.makes("output", step.output, Data("predict"))
        return
    if kind is not None:
        _fits(view, "data", kind, data)
        _explains(view, step.outputs, kind, task)
        masks = task is not None and task.answers == "place" and kind.takes == "image"
        if model.folds and masks and model.data not in ("", step.data.partition("@")[0]):
            hint = "train one network on all samples to predict others"
            message = "masks of several networks are not averaged"
            view.add("model", "folds-of-masks", message, hint)
    view.makes("output", step.output, _predicted(step, kind, task, model, data))


def task_of(view: View, options: dict[str, Any], field: str = "") -> "Task | None":
    """The task of `options`; None where they can't be, which is a problem of `field`."""
    if not field:
        try:
            return build_task(options)
        except SpecError:
            return None  # told where it was named
    plugin = Plugin.model_validate(options)
    found = view.plugin(TASKS, plugin, field)
    with view.at(field):
        if found is not None:
            return found[0](found[1], None)
    return None


def same_classes(task: "Task", data: Holds) -> None:
    """Refuse numbers that the data mean otherwise than the task.

    Raises:
        SpecError: the names of the classes differ, or their order (code "classes-mismatch").
    """
    if data.classes is None or "target" not in task.needs.columns:
        return
    if task.classes != data.classes:
        raise SpecError(
            f"the task's classes are {', '.join(task.classes)}, the data's "
            f"{', '.join(data.classes)}",
            code="classes-mismatch",
            hint="give both the same names in the same order",
        )


def _network(view: View, model: Model) -> "type[Network] | None":
    if model.model is None:
        return None
    try:
        return MODELS.get(str(model.model.get("name")))
    except SpecError as error:
        if error.code != "unknown-plugin" or not view.elsewhere:
            view.add("model", error.code, error.message, error.hint)
        return None


def _fits(view: View, field: str, kind: "type[Network]", data: Data) -> None:
    """Samples are what the network takes."""
    from medray.modalities import MODALITIES

    with view.at(field):
        needs: Needs = MODALITIES.get(kind.takes).needs
        try:
            needs.check(data.holds)
        except SpecError as error:
            raise SpecError(
                f"the network takes samples of kind {kind.takes!r}: {error.message}",
                code="model-mismatch",
                hint="take a network for samples like these, or other data",
            ) from error


def _pair(view: View, kind: "type[Network]", task: "Task") -> bool:
    """Whether the network can learn the task."""
    from medray.modalities import MODALITIES

    extends = MODALITIES.get(kind.takes).extends
    if task.over and task.over not in extends:
        view.add(
            "task.name",
            "task-mismatch",
            f"{task.name} is no task for samples of kind {kind.takes!r}",
            f"it is one for samples that extend along {task.over!r}",
        )
        return False
    if task.answers not in kind.answers:
        whole = "place by place" if task.answers == "sample" else "for whole samples"
        can = [name for name in MODELS.names() if _could(name, kind.takes, task)]
        hint = f"take {' or '.join(can)}" if can else ""
        view.add("model.name", "task-mismatch", f"this network answers {whole}", hint)
        return False
    return True


def _could(name: str, takes: str, task: "Task") -> bool:
    try:
        kind = MODELS.get(name)
    except SpecError:
        return False
    return kind.takes == takes and task.answers in kind.answers


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


def _variants(
    view: View, step: Predict, kind: "type[Network] | None", task: "Task | None", data: Data
) -> None:
    if step.variants is None:
        return
    genome = view.data("variants.genome", step.variants.genome)
    with view.at("variants.genome"):
        hint = "ingest a FASTA file by the format `fasta`"
        contigs = names("contig", "length", "sha256")
        Needs((names("sequence"),), contigs, hint=hint, code="no-genome").check(genome.holds)
    with view.at("data"):
        hint = "ingest a VCF by the format `vcf` with `table: sites`"
        Needs(columns=names(SITE), hint=hint, code="no-sites").check(data.holds)
        if data.holds.arrays:
            raise SpecError("the data are no table of sites", code="no-sites", hint=hint)
    if kind is not None and kind.takes != "sequence":
        message = "variants are scored by a model of sequences"
        view.add("model", "model-mismatch", message, f"this one takes {kind.takes}s")
    elif task is not None:
        for track in sorted(set(step.variants.tracks or ()) - set(task.classes)):
            hint = f"it has {', '.join(task.classes)}"
            view.add("variants.tracks", "no-such-track", f"the model has no output {track!r}", hint)


def _predicted(
    step: Predict,
    kind: "type[Network] | None",
    task: "Task | None",
    model: Model,
    data: Data,
) -> Data:
    arrays: frozenset[str] | None = None
    if step.outputs in EXPLAINED:
        arrays = names("track")
    elif task is not None and kind is not None:
        masks = kind.takes == "image" and step.outputs == "labels"
        arrays = names() if task.answers == "sample" else names("label" if masks else "probability")
    columns = data.holds.columns
    if columns is not None:
        columns |= names("contig", "bin_bases", "offset", "names", "probability", "predicted")
    holds = replace(data.holds, arrays=arrays, columns=columns)
    kind_known = "predict" if model.task is not None or step.outputs in EXPLAINED else ""
    return Data(kind_known, holds, model.task, step.outputs, step.data.partition("@")[0])
