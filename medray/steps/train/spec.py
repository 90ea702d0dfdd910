"""Train: a dataset to a trained model."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from medray.spec.base import Name, Plugin, Reference
from medray.spec.step import StepSpec, Where
from medray.spec.training import TrainSettings, Unlabelled


class TrainSpec(StepSpec):
    """A dataset to a trained model."""

    kind: Literal["train"]
    data: Reference
    select: Where = Field({"split": "train"}, description="samples to learn from: column: value(s)")
    validation: Where = Field({"split": "val"}, description="samples to validate on")
    unlabelled: Unlabelled | None = Field(
        None, description="samples to learn from without their targets; the objective takes them"
    )
    folds: str | None = Field(
        None,
        description="column: for each value of it, a network learns from the samples of all "
        "others, and is validated on its own; one model of them all",
    )
    members: int = Field(
        1,
        ge=1,
        le=100,
        description="networks that learn from the same samples, each from a seed of its own; one "
        "model, which answers with their mean",
    )
    task: Plugin
    model: Plugin
    output: Name
    train: TrainSettings = TrainSettings.model_construct()
    allow_leak: bool = Field(
        False,
        description="train though the validation has subjects, or records, that are learnt from; "
        "the page says so in red",
    )
    plan: dict[str, Any] = Field(
        {},
        description="what is not left to the data: of images patch, spacing_mm, normalise, "
        "channels and foreground; of sequences length and align; of molecules and tables blend",
    )

    @model_validator(mode="after")
    def _parted_or_repeated(self) -> Self:
        if self.folds is not None and self.members > 1:
            raise ValueError("`folds` makes a network for each fold: leave `members` out")
        return self

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but the settings, and of these where the weights come from."""
        return super().kept() - {"train"} | {"train.init_from"}

    def identity(self) -> dict[str, Any]:
        """As of any step; how many workers share the work is no part of it, so a run can resume
        on another number of them."""
        made = super().identity()
        for name in ("workers", "threads", "cache_bytes", "prefetch", "max_failures", "keep"):
            del made["train"][name]
        del made["train"]["checkpoint_every"]
        if self.unlabelled is None:
            del made["unlabelled"]
        if self.train.unlabelled_batch_size is None:
            del made["train"]["unlabelled_batch_size"]
        if not self.allow_leak:
            del made["allow_leak"]
        if self.members == 1:
            del made["members"]
        if not self.train.rates:
            del made["train"]["rates"]
        return made
