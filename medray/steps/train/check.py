"""The check of a training: network, task and data, held against each other."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from medray.errors import SpecError
from medray.models import MODELS
from medray.spec.check import tried
from medray.spec.profiles import Inline
from medray.spec.training import Unlabelled
from medray.steps.base.facts import Data, Model
from medray.steps.base.fits import check_samples, same_classes, task_of
from medray.steps.base.view import View
from medray.steps.train.spec import TrainSpec

if TYPE_CHECKING:
    from medray.models.base import Network
    from medray.tasks.base import Task


def check(view: View, spec: TrainSpec) -> None:
    """Task, network and data fit each other, and the settings fit all of them."""
    view.makes("output", spec.output, check_training(view, spec))


def check_training(view: View, spec: TrainSpec) -> Model:
    """The same of any training; what it makes."""
    data = view.data("data", spec.data)
    task = task_of(view, spec.task.model_dump(mode="json"), "task")
    found = view.plugin(MODELS, spec.model, "model")
    with view.at("select"):
        data.holds.check_where(spec.select)
    if spec.folds is not None:
        with view.at("folds"):
            data.holds.check_where({spec.folds: sorted(data.holds.splits or ("",))})
    elif spec.validation and spec.validation != TrainSpec.model_fields["validation"].default:
        with view.at("validation"):
            data.holds.check_where(spec.validation)
    if spec.unlabelled is not None:
        _unlabelled(view, spec.unlabelled, data, found and found[0], task)
    if spec.train.first_model:
        view.model("train.init_from", spec.train.first_model)
    if task is not None:
        _objective(view, spec, task, found and found[0])
        with view.at("task"):
            task.needs.check(data.holds)
            same_classes(task, data)
        if task.calibrates and spec.folds is None and not spec.validation:
            message = "nothing is validated, and the level of its answers comes from a validation"
            view.add("validation", "nothing-validated", message, "select some, or train by folds")
    if found is not None:
        check_samples(view, "data", found[0], data)
        given = _given(view, spec, found[0])
        with view.at("plan"):
            given.needs.check(data.holds)
        if task is not None and spec.members > 1:
            _averaged(view, found[0], task)
        if task is not None and not _pair(view, found[0], task):
            found = task = None  # what follows is not blamed
        elif task is not None:
            from medray.steps.train.rehearse import rehearse

            rehearse(spec, given, task, data.holds.axes, view.add)
    if spec.train.precision == "fp16" and view.profile is not None:
        inline = isinstance(view.profile, Inline)
        if not inline and not view.profile.pool(spec.kind).gpus:
            view.add("train.precision", "fp16-needs-cuda", "fp16 needs a GPU", "take bf16 or fp32")
    return Model(
        None if found is None else spec.model.model_dump(mode="json"),
        None if task is None else spec.task.model_dump(mode="json"),
        spec.folds is not None,
        spec.data.partition("@")[0],
    )


def _unlabelled(
    view: View,
    wanted: Unlabelled,
    data: Data,
    kind: "type[Network] | None",
    task: "Task | None",
) -> None:
    """Samples without targets are there, and of a kind that can be learnt from so."""
    from medray.modalities import MODALITIES

    other = data if wanted.data is None else view.data("unlabelled.data", wanted.data)
    with view.at("unlabelled.select"):
        other.holds.check_where(wanted.select)
    if kind is None:
        return
    check_samples(view, "unlabelled", kind, other, learnt=False)
    if task is not None and not MODALITIES.get(kind.takes)().takes_unlabelled(task):
        message = f"samples of kind {kind.takes!r} for {task.name} are learnt from by targets alone"
        view.add("unlabelled", "targets-only", message, "leave `unlabelled` out")


def _given(view: View, spec: TrainSpec, kind: "type[Network]") -> Any:
    """What the job fixes of the plan, or nothing where that cannot be; the samples' modality says
    so, and how they may be augmented."""
    from medray.modalities import MODALITIES

    modality = MODALITIES.get(kind.takes)
    augment: TypeAdapter[BaseModel] = TypeAdapter(modality.Augment)
    made = tried(augment, spec.train.augment or {})
    if isinstance(made, list):
        view.bad(made, "train", "augment")
    options: TypeAdapter[BaseModel] = TypeAdapter(modality.PlanOptions)
    given = tried(options, spec.plan)
    if isinstance(given, list):
        view.bad(given, "plan")
        return modality.PlanOptions()
    return given


def _objective(view: View, spec: TrainSpec, task: "Task", net: "type[Network] | None") -> None:
    """The objective is there, and can do with settings, task and samples."""
    from medray.engine.training.objectives import OBJECTIVES, objective_of
    from medray.engine.training.objectives.base import check_objective

    chosen = spec.train.objective
    found = None if chosen is None else view.plugin(OBJECTIVES, chosen, "train.objective")
    if chosen is None or found is not None:
        with view.at("train.objective"):
            unlabelled = spec.unlabelled is not None
            kind = objective_of(chosen, task)
            check_objective(kind, spec.train, task, unlabelled=unlabelled)
    if found is not None:
        kind, options = found
        for field in kind.Options.models:
            if (model := getattr(options, field)) is not None:
                view.model(f"train.objective.{field}", model)
        if net is not None:
            with view.at("train.objective"):
                kind.accept(options, task, net, spec.train)


def _averaged(view: View, kind: "type[Network]", task: "Task") -> None:
    """Answers of several networks have a mean."""
    from medray.modalities import MODALITIES

    if not MODALITIES.get(kind.takes)().averages(task.answers):
        message = "such answers of several networks are not averaged"
        view.add("members", "folds-of-masks", message, "leave `members` out")


def _pair(view: View, kind: "type[Network]", task: "Task") -> bool:
    """Whether the network can learn the task."""
    from medray.modalities import MODALITIES

    extends = MODALITIES.get(kind.takes).extends
    if task.over and not task.over & extends:
        view.add(
            "task.name",
            "task-mismatch",
            f"{task.name} is no task for samples of kind {kind.takes!r}",
            f"it is one for samples that extend along {' or '.join(sorted(task.over))}",
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
