"""Plans: what is found out about the data before a training, and what a job says of it."""

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from medray.errors import SpecError
from medray.spec.base import Settings
from medray.spec.training import TrainSettings


class Augment(Settings):
    """Base of what a modality changes about samples at random: frozen, unknown keys refused."""


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
    kind: type[P], given: dict[str, Any], found: dict[str, Any], reasons: dict[str, str]
) -> P:
    """A plan of what was found, where the job has not given it.

    Raises:
        SpecError: the job names a field that the plan has not (code "unknown-field").
    """
    unknown = set(given) - set(kind.model_fields)
    if unknown:
        raise SpecError(
            f"the plan has no field {min(unknown)!r}",
            code="unknown-field",
            hint=f"one of {', '.join(kind.model_fields)}",
        )
    why = {name: "given by the job" if name in given else text for name, text in reasons.items()}
    return kind.model_validate({**found, **given, "reasons": why})


@dataclass(frozen=True)
class Wanted:
    """What a job says about the plan.

    Args:
        model: `name` and options.
        settings: of the training.
        given: fields of the plan that the job fixes.
        device: "cpu" or "cuda".
    """

    model: dict[str, Any]
    settings: TrainSettings
    given: dict[str, Any]
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
