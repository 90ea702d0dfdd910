"""Networks, tasks and data, held against each other before there is a sample."""

from typing import TYPE_CHECKING, Any

from medray.errors import SpecError
from medray.models import MODELS
from medray.spec.base import Plugin
from medray.steps.base.facts import Data, Model
from medray.steps.base.view import View
from medray.storage.shards.holds import Needs
from medray.tasks import TASKS, build_task

if TYPE_CHECKING:
    from medray.models.base import Network
    from medray.tasks.base import Task


def task_of(view: View, options: dict[str, Any], field: str = "") -> "Task | None":
    """The task of `options`; None where they can't be, which is a problem of `field`.

    Args:
        view: of the document.
        options: of the task, with its `name`.
        field: empty where another document named it: it is told there.
    """
    if not field:
        try:
            return build_task(options)
        except SpecError:
            return None
    plugin = Plugin.model_validate(options)
    found = view.plugin(TASKS, plugin, field)
    with view.at(field):
        if found is not None:
            return found[0](found[1], None)
    return None


def same_classes(task: "Task", data: Data) -> None:
    """Refuse numbers that the data mean otherwise than the task.

    Raises:
        SpecError: the names of the classes differ, or their order (code "classes-mismatch").
    """
    classes = data.holds.classes
    if classes is None or "target" not in task.needs.columns:
        return
    if task.classes != classes:
        raise SpecError(
            f"the task's classes are {', '.join(task.classes)}, the data's {', '.join(classes)}",
            code="classes-mismatch",
            hint="give both the same names in the same order",
        )


def network_of(view: View, model: Model) -> "type[Network] | None":
    """The network of a model; None where it is not known, or is not to be had, which is told."""
    if model.model is None:
        return None
    try:
        return MODELS.get(str(model.model.get("name")))
    except SpecError as error:
        if error.code != "unknown-plugin" or not view.elsewhere:
            view.add("model", error.code, error.message, error.hint)
        return None


def check_samples(
    view: View, field: str, kind: "type[Network]", data: Data, *, learnt: bool = True
) -> None:
    """Samples are what the network takes, to learn from or to answer; else it is a problem of
    `field`."""
    from medray.modalities import MODALITIES

    with view.at(field):
        needs: Needs = MODALITIES.get(kind.takes).needs
        try:
            needs.check(data.holds, learnt=learnt)
        except SpecError as error:
            raise SpecError(
                f"the network takes samples of kind {kind.takes!r}: {error.message}",
                code="model-mismatch",
                hint="take a network for samples like these, or other data",
            ) from error
