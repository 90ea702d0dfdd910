"""Learning curve: trainings with shares of the labels, to how good each network is."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from medray.spec.base import Name, Plugin, Reference
from medray.spec.step import StepSpec, Where
from medray.spec.training import TrainSettings

Share = Annotated[float, Field(gt=0, le=1)]


class LearningCurveSpec(StepSpec):
    """Networks that learn from shares of the labels, each judged at its end on the same samples."""

    kind: Literal["learning-curve"]
    data: Reference
    select: Where = Field(
        {"split": "train"}, description="samples whose labels are drawn; all are `unlabelled`"
    )
    judge: Where = Field({"split": "test"}, description="samples that networks are judged on")
    shares: tuple[Share, ...] = Field(
        (0.05, 0.1, 0.25, 1), min_length=1, description="of the labels, by class and subject"
    )
    draws: int = Field(5, ge=1, le=100, description="of labels, and of a seed, at each share")
    seed: int = Field(0, description="of the draws")
    task: Plugin
    model: Plugin
    train: TrainSettings = TrainSettings.model_construct()
    arms: dict[Name, dict[str, Any]] = Field(
        {"plain": {}},
        min_length=1,
        description="name: fields of `train` that it changes; others are held against the first",
    )
    plan: dict[str, Any] = Field({}, description="as of a training")
    output: Name

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.shares)) < len(self.shares):
            raise ValueError("`shares` names one twice")
        for name, changed in self.arms.items():
            if wrong := changed.keys() - TrainSettings.model_fields.keys():
                raise ValueError(f"arms.{name}: `train` has no {', '.join(sorted(wrong))}")
        return self

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but the settings, and of these where the weights come from; arms are told by name."""
        return super().kept() - {"train"} | {"train.init_from"}

    def settings(self, arm: str) -> TrainSettings:
        """How an arm trains.

        Raises:
            ValidationError: what it changes can't be.
        """
        given = self.train.model_dump(mode="json", exclude_unset=True)
        return TrainSettings.model_validate({**given, **self.arms[arm]})
