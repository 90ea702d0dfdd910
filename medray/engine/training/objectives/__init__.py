"""What a training step does with networks and data: one file per objective."""

from typing import TYPE_CHECKING

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.engine.training.objectives.base import Objective
    from medray.spec.base import Plugin
    from medray.tasks.base import Task

OBJECTIVES: "Registry[Objective]" = Registry(
    "medray.objectives",
    {
        "supervised": "medray.engine.training.objectives.supervised:Supervised",
        "whole-batch": "medray.engine.training.objectives.whole_batch:WholeBatch",
        "adversarial": "medray.engine.training.objectives.adversarial:Adversarial",
        "reinforce": "medray.engine.training.objectives.reinforce:Reinforce",
        "gan": "medray.engine.training.objectives.gan:Gan",
        "wgan-gp": "medray.engine.training.objectives.wgan_gp:WganGp",
        "mean-teacher": "medray.engine.training.objectives.mean_teacher:MeanTeacher",
    },
)
# Where a job is silent: of tasks whose samples have losses of their own, and of others.
OWN, SHARED = "supervised", "whole-batch"


def objective_of(chosen: "Plugin | None", task: "Task") -> "type[Objective]":
    """The objective that a job has chosen; where it is silent, the one that the task asks for."""
    if chosen is not None:
        return OBJECTIVES.get(chosen.name)
    return OBJECTIVES.get(SHARED if task.whole_batch else OWN)


def models_of(chosen: "Plugin | None") -> list[tuple[str, str]]:
    """Fields of an objective that name trained models, and these."""
    if chosen is None:
        return []
    fields, given = OBJECTIVES.get(chosen.name).Options.models, chosen.options
    return [(field, given[field]) for field in fields if given.get(field) is not None]
