"""The steps of a job: what each kind maps to what. One YAML document is one step."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from medray.spec.base import MOST, Name, Plugin, Reference, Settings
from medray.spec.check import ByKind
from medray.spec.training import TrainSettings

Where = dict[str, str | int | float | bool | list[str] | list[int]]


class Policy(Settings):
    """How much may go wrong. No part of a step's identity."""

    error_budget: float = Field(
        0.05, ge=0, le=1, description="share of the inputs that may be quarantined"
    )
    max_attempts: int = Field(
        3, ge=1, description="deaths of a unit before it goes input by input, and of an input then"
    )
    unit_timeout_s: float = Field(1800, gt=0, description="a unit that takes longer is killed")


class UnitSize(Settings):
    """How inputs are cut into units."""

    samples: int = Field(ge=1, description="inputs per unit, about")


class Split(Settings):
    """Which samples are for what: fractions by name, or the column that says so; or folds."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0, le=MOST)]]

    by: str = Field("subject", description="column whose equal values never part, or `sample`")
    seed: int = 0
    column: str | None = Field(None, description="column that holds the split (official splits)")
    folds: int | None = Field(
        None, ge=2, le=1000, description="also a column `fold`, 0 … folds - 1, for cross-validation"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        fractions = self.__pydantic_extra__
        both = self.column is not None and bool(fractions)
        if both or (self.column is None and not fractions and self.folds is None):
            raise ValueError(
                "give fractions by name, such as train: 0.8 and val: 0.2, or a column, or folds"
            )
        if fractions and sum(fractions.values()) <= 0:
            raise ValueError("the fractions add up to nothing")
        return self

    def parameters(self) -> dict[str, Any]:
        """As `medray.steps.ingest.operation.divide` takes it: only what has a say."""
        by = {"by": self.by, "seed": self.seed}
        folds = {} if self.folds is None else {"folds": self.folds}
        if self.column is not None:
            return {"column": self.column, **(folds and {**folds, **by})}
        return {**self.__pydantic_extra__, **by, **folds}


class Step(Settings):
    """What all steps have."""

    # Where, how fast and how tolerantly a step runs is not what it makes.
    incidental: ClassVar[frozenset[str]] = frozenset({"policy", "cluster", "tracking"})

    policy: Policy = Policy.model_construct()
    cluster: str | None = Field(None, description="profile to run on; --cluster wins over it")
    tracking: Literal["mlflow"] | None = Field(
        None, description="who is told of settings and metrics besides"
    )

    def identity(self) -> dict[str, Any]:
        """Everything about the step that decides what it makes, JSON-able."""
        return self.model_dump(mode="json", exclude=set(self.incidental))


class Ingest(Step):
    """Raw files of one format to a dataset."""

    # The inputs' fingerprints stand for the source: a moved folder is not ingested again.
    incidental = Step.incidental | {"source", "units", "fingerprint", "follow_links"}

    kind: Literal["ingest"]
    format: Plugin
    source: str = Field(description="folder or file with the raw data, or s3://bucket/prefix")
    output: Name
    split: Split | None = None
    units: UnitSize | None = Field(None, description="null: as the format sees fit")
    fingerprint: Literal["times", "content"] = Field(
        "times",
        description="a file is the same while its size and time of change are, or its content is: "
        "every byte is then read to plan",
    )
    follow_links: bool = Field(
        False, description="follow links that lead out of the source, or to folders"
    )


class Transform(Step):
    """A dataset to a dataset: windows of a genome, quality control, and what plugins add."""

    kind: Literal["transform"]
    data: Reference
    operation: Plugin
    using: dict[str, Reference] = Field(
        {}, description="further datasets that the operation looks things up in, by role"
    )
    select: Where = Field({}, description="only samples whose columns have these values")
    output: Name


class Train(Step):
    """A dataset to a trained model."""

    kind: Literal["train"]
    data: Reference
    select: Where = Field({"split": "train"}, description="samples to learn from: column: value(s)")
    validation: Where = Field({"split": "val"}, description="samples to validate on")
    folds: str | None = Field(
        None,
        description="column: for each value of it, a network learns from the samples of all "
        "others, and is validated on its own; one model of them all",
    )
    task: Plugin
    model: Plugin
    output: Name
    train: TrainSettings = TrainSettings.model_construct()
    plan: dict[str, Any] = Field({}, description="fields of the plan that are not left to the data")

    def identity(self) -> dict[str, Any]:
        """As of any step; how many workers share the work is no part of it, so a run can resume
        on another number of them."""
        made = super().identity()
        for name in ("workers", "threads", "cache_bytes", "prefetch", "max_failures", "keep"):
            del made["train"][name]
        del made["train"]["checkpoint_every"]
        return made


class VariantEffect(Settings):
    """Rows of the data are sites of a VCF: what does each ALT change in the model's answer?"""

    genome: Reference
    window: int | None = Field(None, ge=1, description="bases; null: as the model was trained")
    statistics: tuple[Literal["diff", "log2fc", "l2", "ref", "alt"], ...] = Field(
        ("diff",), min_length=1, description="of the answers to ALT and to REF"
    )
    tracks: tuple[str, ...] | None = Field(
        None, min_length=1, description="outputs of the model to compare; null: all"
    )
    reverse_complement: Literal["forward", "reverse", "average"] = Field(
        "forward", description="strand that the network sees; average: both, each by itself"
    )
    batch: int = Field(256, ge=1, description="windows at once")
    unit: int = Field(50_000, ge=1, description="variants in a unit at most")


class Predict(Step):
    """A model and a dataset to a dataset of predictions."""

    incidental = Step.incidental | {"engine"}

    kind: Literal["predict"]
    model: Reference
    data: Reference
    select: Where = Field({}, description="only samples whose columns have these values")
    output: Name
    overlap: float = Field(0.5, ge=0, lt=1, description="of neighbouring windows")
    tta: bool = Field(False, description="average over copies mirrored as in training")
    precision: Literal["fp32", "bf16"] = "fp32"
    batch: int = Field(1, ge=1, description="windows (or samples, in classification) at once")
    outputs: Literal["labels", "probabilities", "attention", "gradients", "mutagenesis"] = Field(
        "labels", description="the last three: what a network of sequences looks at, base by base"
    )
    engine: Literal["data", "serve"] = Field(
        "data", description="a pool of Ray Data's, or the replicas that serve the model"
    )
    variants: VariantEffect | None = Field(
        None, description="score the ALTs of a table of sites instead of its rows"
    )

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.variants is None:
            return self
        alien = ("overlap", "tta", "batch", "outputs", "engine")
        said = [name for name in alien if getattr(self, name) != Predict.model_fields[name].default]
        if said:
            raise ValueError(f"{said[0]} has no meaning where variants are scored")
        return self


class Evaluate(Step):
    """Predictions and the truth to scores."""

    kind: Literal["evaluate"]
    predictions: Reference
    data: Reference
    select: Where | None = Field(
        None, description="samples of data to judge; null: those that were to be predicted"
    )
    output: Name
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % intervals")
    seed: int = 0


class Export(Step):
    """A dataset to files, outside of storage."""

    incidental = Step.incidental | {"to"}

    kind: Literal["export"]
    data: Reference
    images: Reference | None = Field(
        None, description="dataset the predictions were made of; null: as recorded with them"
    )
    select: Where = Field({}, description="only samples whose columns have these values")
    format: Plugin
    to: str = Field(description="folder to write to, or s3://bucket/prefix")
    output: Name | None = Field(None, description="dataset that records what was written")

    @property
    def name(self) -> str:
        """Of the dataset that records what was written."""
        return self.output or f"{self.data.partition('@')[0]}-{self.format.name.replace('_', '-')}"


AnyStep = Annotated[
    Ingest | Transform | Train | Predict | Evaluate | Export, Field(discriminator="kind")
]
KINDS: dict[str, type[Step]] = {
    "ingest": Ingest,
    "transform": Transform,
    "train": Train,
    "predict": Predict,
    "evaluate": Evaluate,
    "export": Export,
}
STEP: ByKind[Ingest | Transform | Train | Predict | Evaluate | Export] = ByKind(AnyStep)
