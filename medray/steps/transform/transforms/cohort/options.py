"""What a job may say of a cohort: who, when, what is asked, and what is known."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medray.formats.events.times import MICROSECONDS, Duration, duration
from medray.spec.base import Settings
from medray.steps.transform.transforms.base import TransformOptions

Codes = tuple[str, ...]


class At(Settings):
    """When something is predicted."""

    event: Codes = Field(
        min_length=1, description="codes, * stands for anything: each such event begins a stay"
    )
    plus: Duration | None = Field(None, description="so long behind it, such as 24h")
    every: Duration | None = Field(
        None, description="and again and again, as long as nothing of `until` has happened"
    )
    until: Codes = Field((), description="codes that end it")
    which: Literal["all", "first"] = Field(
        "all", description="of a subject; the last would be told by the future"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.every is not None) != bool(self.until):
            raise ValueError("`every` and `until` go together")
        if self.every is not None and duration(self.every) < MICROSECONDS["minute"]:
            raise ValueError("`every` is a minute at least")
        return self


class Who(Settings):
    """Who belongs to it, by what is known at the prediction time."""

    has: Codes = Field((), description="codes, of which one is known")
    age: tuple[float | None, float | None] = Field(
        (None, None), description="years from and to, by the event MEDS_BIRTH"
    )


class Exclude(Settings):
    """Who does not."""

    ever: Codes = Field((), description="codes, none of which is known at the prediction time")
    since: Codes = Field(
        (), description="codes, none of which happened from the event on to the prediction time"
    )


class Label(Settings):
    """What is asked: whether an event comes behind the prediction time."""

    event: Codes = Field(min_length=1, description="codes, * stands for anything")
    within: Duration | None = Field(None, description="so long behind it at the latest")
    until: Codes = Field((), description="or before the next event of these codes, or with it")
    follow_up: Literal["required", "ignored"] = Field(
        "required",
        description="a sample without the event whose record ends before the horizon does is left "
        "out; or counts as one without",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.within is None) != bool(self.until):
            raise ValueError("give `within` or `until`")
        return self


class Features(Settings):
    """An array of numbers: what was counted, measured and how long ago, by code."""

    windows: tuple[Duration | Literal["all"], ...] = Field(
        ("all",), min_length=1, description="before the prediction time, in which events count"
    )
    codes: int = Field(
        200, ge=1, le=20_000, description="that most training subjects have, at most so many"
    )
    min_subjects: int = Field(2, ge=1, description="training subjects that have a code, at least")
    only: Codes = Field((), description="codes that may be chosen; none: all")
    without: Codes = Field((), description="codes that may not")
    make: tuple[Literal["count", "last", "since"], ...] = Field(
        ("count",), description="events; last number; hours since the last event"
    )
    age: bool = True


class Sequences(Settings):
    """Arrays `codes` and `hours`: the last events before the prediction time, in their order."""

    codes: int = Field(1000, ge=1, le=20_000, description="as of features; others are one")
    min_subjects: int = Field(2, ge=1, description="training subjects that have a code, at least")
    only: Codes = Field((), description="codes that may be chosen; none: all")
    without: Codes = Field((), description="codes that may not")
    most: int = Field(256, ge=1, le=100_000, description="events of a sample")


class CohortOptions(TransformOptions):
    """Who, when, what is asked, and what is known."""

    at: At
    who: Who = Who()
    exclude: Exclude = Exclude()
    label: Label | None = Field(None, description="null: nothing is known of the future")
    features: Features | None = None
    sequence: Sequences | None = None
    inclusive: bool = Field(
        False, description="what happened, or became known, at the very prediction time is known"
    )
    guard: int = Field(
        8,
        ge=1,
        description="samples of each shard that are made again of what was known alone, and have "
        "to be the same",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.features is None) == (self.sequence is None):
            raise ValueError("give `features` or `sequence`")
        return self

    @property
    def chosen(self) -> Features | Sequences:
        """What is made."""
        return self.features or self.sequence or Features()
