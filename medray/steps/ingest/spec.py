"""Ingest: raw files of one format to a dataset."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from medray.spec.base import MOST, Name, Plugin, Settings
from medray.spec.step import StepSpec

LEFT_OUT = "left-out"  # the split of a sample that several columns put into different parts


class UnitSize(Settings):
    """How inputs are cut into units."""

    samples: int = Field(ge=1, description="inputs per unit, about")


class Split(Settings):
    """Which samples are for what: fractions by name, or the column that says so; or folds."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0, le=MOST)]]

    by: str | tuple[str, ...] | None = Field(
        None,
        description="column whose equal values never part, which every sample must have, or "
        "`sample`; null: `subject` of samples that have one. Of several, each is divided, and a "
        "sample that they put into different parts is `left-out`",
    )
    seed: int = 0
    column: str | None = Field(None, description="column that holds the split (official splits)")
    folds: int | None = Field(
        None, ge=2, le=1000, description="also a column `fold`, 0 … folds - 1, for cross-validation"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        fractions = self.fractions
        if len(self.columns) > 1 and self.folds is not None:
            raise ValueError("folds are divided by one column")
        both = self.column is not None and bool(fractions)
        if both or (self.column is None and not fractions and self.folds is None):
            raise ValueError(
                "give fractions by name, such as train: 0.8 and val: 0.2, or a column, or folds"
            )
        if fractions and sum(fractions.values()) <= 0:
            raise ValueError("the fractions add up to nothing")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """That are divided by; none: as the samples have it."""
        return self.by if isinstance(self.by, tuple) else (self.by,) if self.by else ()

    @property
    def fractions(self) -> dict[str, float]:
        """By name of the split."""
        return self.__pydantic_extra__

    def parameters(self) -> dict[str, Any]:
        """As `medray.steps.ingest.operation.divide` takes it: only what has a say."""
        told = list(self.by) if isinstance(self.by, tuple) else self.by
        by = {"seed": self.seed} if told is None else {"by": told, "seed": self.seed}
        folds = {} if self.folds is None else {"folds": self.folds}
        if self.column is not None:
            return {"column": self.column, **(folds and {**folds, **by})}
        return {**self.fractions, **by, **folds}


class IngestSpec(StepSpec):
    """Raw files of one format to a dataset."""

    # The inputs' fingerprints stand for the source: a moved folder is not ingested again.
    incidental = StepSpec.incidental | {"source", "units", "fingerprint", "follow_links"}

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

    @classmethod
    def kept(cls) -> frozenset[str]:
        """All but what says how files are read and parted."""
        return super().kept() - {"format", "split"}

    @property
    def unit_samples(self) -> int | None:
        """Inputs per unit that the job asks for; None leaves it to the format."""
        return self.units.samples if self.units else None
