"""The `train` part of a training step: everything that can be chosen about the optimisation.

Values that are None are the plan's to decide (medray.modalities).
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from medray.spec.base import Plugin, Reference, Settings
from medray.spec.step import Where


class OptimiserSettings(Settings):
    """Which optimiser, and its constants."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(3e-3, gt=0, description="at its peak; not scaled by the number of workers")
    weight_decay: float = Field(1e-2, ge=0, description="on weights, not on biases and norms")
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = Field(0.99, ge=0, lt=1, description="of SGD, with Nesterov's look-ahead")


class ScheduleSettings(Settings):
    """The learning rate over the steps of the whole run."""

    name: Literal["cosine", "poly", "constant"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the run, linear from 0")
    power: float = Field(0.9, gt=0, description="of poly")
    floor: float = Field(0, ge=0, le=1, description="share of the peak that is left at the end")


class EarlyStopping(Settings):
    """Stop when a validation metric has not improved for `patience` validations."""

    metric: str = Field("", description="e.g. val_dice; empty: the task's own")
    patience: int = Field(10, ge=1)
    min_delta: float = Field(0, ge=0, description="less than this is no improvement")


class Unlabelled(Settings):
    """Samples to learn from beside those with targets; targets that they have are not looked at."""

    data: Reference | None = Field(None, description="null: the dataset of the training")
    select: Where = Field(description="samples: column: value(s); {}: all of them")


class TrainSettings(Settings):
    """How a network is trained."""

    objective: Plugin | None = Field(
        None, description="what is done in a step; null: supervised, or what the task needs"
    )
    epochs: int = Field(100, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1, description="null: one pass over the samples")
    batch_size: int | None = Field(None, ge=1, description="samples per step over all workers")
    unlabelled_batch_size: int | None = Field(
        None, ge=1, description="samples without targets per step; null: as many as with"
    )
    accumulate: int = Field(1, ge=1, description="parts that a worker's share is computed in")
    seed: int = 0
    workers: int | tuple[int, int] = Field(1, description="ranks, or [min, max] to be elastic")
    threads: int | None = Field(None, ge=1, description="torch threads per rank; null: its CPUs")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp", description="fsdp: parameters are spread over ranks, for models that don't fit one"
    )
    channels_last: bool = False
    optimiser: OptimiserSettings = OptimiserSettings.model_construct()
    schedule: ScheduleSettings = ScheduleSettings.model_construct()
    clip_norm: float | None = Field(12, gt=0, description="largest norm of the whole gradient")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the averaged weights")
    augment: dict[str, Any] | None = Field(
        {}, description="as the modality augments samples (its `Augment`); null: not at all"
    )
    cache_bytes: int = Field(2 * 2**30, ge=0, description="decoded samples kept in memory, a rank")
    prefetch: int = Field(2, ge=1, description="batches prepared ahead")
    validate_every: int = Field(1, ge=1, description="epochs")
    early_stopping: EarlyStopping | None = None
    select: Literal["best", "last"] = Field(
        "best", description="which weights become the model: of the best validation, or the last"
    )
    checkpoint_every: int | None = Field(None, ge=1, description="steps; null: every epoch")
    keep: int = Field(2, ge=1, description="newest checkpoints kept, besides the best")
    init_from: str | None = Field(None, description="a trained model, as name or name@version")
    freeze: tuple[str, ...] = Field((), description="parts of the network that don't learn")
    nan_patience: int = Field(3, ge=1, description="steps in a row without a finite gradient")
    max_failures: int = Field(3, ge=0, description="restarts after the loss of a worker")

    @model_validator(mode="after")
    def _workers_in_order(self) -> Self:
        low, high = self.world_sizes
        if not 1 <= low <= high:
            raise ValueError("workers: at least 1, and [min, max] in this order")
        return self

    @property
    def world_sizes(self) -> tuple[int, int]:
        """Fewest and most ranks."""
        return (self.workers, self.workers) if isinstance(self.workers, int) else self.workers
