"""Plans: what is found out about the data before a training, and what a job says of it."""

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from medray.spec.base import Settings
from medray.spec.training import TrainSettings
from medray.storage.shards.holds import Needs


class Augment(Settings):
    """Base of what a modality changes about samples at random: frozen, unknown keys refused."""


class PlanOptions(Settings):
    """Base of what a job may fix of a modality's plan: frozen, unknown keys refused.

    What is None is left to the data. Most fields are named as those of the plan.
    """

    @property
    def needs(self) -> Needs:
        """What samples must have for it, beside what the modality needs."""
        return Needs()


class PredictOptions(Settings):
    """Base of how a modality's models may be asked: frozen, unknown keys refused."""


class Plan(BaseModel):
    """What training and prediction need to know of the data. JSON and back without loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    modality: str
    answers: str = Field(description="as the task: for each sample, each place of it, …")
    classes: tuple[str, ...] = Field(description="of the task, or the names of its values")
    batch_size: int
    frequencies: tuple[float, ...] = Field(
        description="what the training data say of the targets: share of each class, or, of a "
        "regression, mean and deviation of each value"
    )
    samples: int
    reasons: dict[str, str] = Field({}, description="field: why it is so")


P = TypeVar("P", bound=Plan)


def planned_fields(
    kind: type[P], given: PlanOptions, found: dict[str, Any], reasons: dict[str, str]
) -> P:
    """A plan of what was found, where the job has not given it.

    Args:
        kind: of the plan.
        given: by the job; of its fields, those that the plan has too are taken.
        found: the other fields of the plan.
        reasons: for what was found.
    """
    named = {name: value for name, value in given if name in kind.model_fields}
    fixed = {name: value for name, value in named.items() if value is not None}
    why = {name: "given by the job" if name in fixed else text for name, text in reasons.items()}
    return kind.model_validate({**found, **fixed, "reasons": why})


@dataclass(frozen=True)
class Wanted:
    """What a job says about the plan.

    Args:
        model: `name` and options.
        settings: of the training.
        given: of the plan, an instance of the modality's `PlanOptions`.
        device: "cpu" or "cuda".
    """

    model: dict[str, Any]
    settings: TrainSettings
    given: Any
    device: str = "cpu"


@dataclass(frozen=True)
class Sketch:
    """What a network is built from before there are data, to see whether it can be.

    Args:
        planned: its options that the plan sets.
        inward: channels or features of a sample.
        size: of what is drawn from a sample; None: as it comes.
        sure: nothing here was made up, so whatever can't be built will not be.
    """

    planned: dict[str, Any]
    inward: int = 1
    size: tuple[int, ...] | None = None
    sure: bool = False
