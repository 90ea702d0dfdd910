"""The `train` part of a training step: everything that can be chosen about the optimisation.

Values that are None are the plan's to decide (medray.modalities).
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

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


class OrName(Settings):
    """Settings of which the first is enough: that alone may stand in their place."""

    @model_validator(mode="before")
    @classmethod
    def _from_the_first(cls, given: Any) -> Any:
        return {next(iter(cls.model_fields)): given} if isinstance(given, str) else given

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Of both forms."""
        return {"anyOf": [{"type": "string"}, handler(core)]}


class WordVectors(Settings):
    """Vectors of words that something else has learnt, in a file where the job is driven."""

    file: str = Field(
        description="text: a word and its numbers a line, as word2vec and GloVe write them; or the "
        ".safetensors of an encoder"
    )
    vocabulary: str | None = Field(
        None, description="of safetensors: file with the word of each row, a line each"
    )
    tensor: str | None = Field(
        None, description="of safetensors: has a row a word; null: the only matrix"
    )


class InitialWeights(OrName):
    """Where a network's first weights come from: a model, or vectors of words. Of a model, parts of
    another shape, such as heads, stay fresh, unless `map` names them."""

    model: str | None = Field(None, description="a trained model, as name or name@version")
    vectors: WordVectors | None = Field(None, description="of the words that a network reads")
    map: dict[str, str] = Field(
        {},
        description="parts of that network, by the beginning of their names: what they are called "
        "here. The longest beginning counts; parts that none names keep their names",
    )
    only: tuple[str, ...] | None = Field(
        None, min_length=1, description="parts of this network that are taken over; null: all"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.model is None) == (self.vectors is None):
            raise ValueError("init_from: a model, or vectors")
        if self.vectors is not None and (self.map or self.only):
            raise ValueError("init_from: `map` and `only` are of a model")
        return self


class Frozen(OrName):
    """Parts of a network that don't learn, or not from the beginning."""

    parts: tuple[str, ...] = Field(min_length=1, description="by the beginning of their names")
    until: int | None = Field(
        None, ge=1, description="epochs after which they learn, too; null: they never do"
    )

    @field_validator("parts", mode="before")
    @classmethod
    def _one_alone(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given


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
    init_from: InitialWeights | None = Field(
        None, description="a trained model, or its name alone; or vectors of words"
    )
    freeze: tuple[Frozen, ...] = Field(
        (), description="parts of the network that don't learn: names, or with `until`"
    )
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {},
        description="factor of the learning rate of parts of the network, by the beginning of "
        "their names; the longest counts",
    )
    nan_patience: int = Field(3, ge=1, description="steps in a row without a finite gradient")
    max_failures: int = Field(3, ge=0, description="restarts after the loss of a worker")

    @property
    def first_model(self) -> str | None:
        """The model whose weights the network begins with; None: with no model's."""
        return self.init_from.model if self.init_from else None

    @model_validator(mode="after")
    def _workers_in_order(self) -> Self:
        low, high = self.world_sizes
        if not 1 <= low <= high:
            raise ValueError("workers: at least 1, and [min, max] in this order")
        return self

    @model_validator(mode="after")
    def _thawed_in_time(self) -> Self:
        late = [one.until for one in self.freeze if one.until and one.until >= self.epochs]
        if late:
            raise ValueError(
                f"freeze: until {late[0]} of {self.epochs} epochs they would never learn; leave "
                "`until` out where that is meant"
            )
        return self

    @property
    def world_sizes(self) -> tuple[int, int]:
        """Fewest and most ranks."""
        return (self.workers, self.workers) if isinstance(self.workers, int) else self.workers
