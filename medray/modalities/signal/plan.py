"""What training and prediction need to know of signals."""

from typing import Literal

from pydantic import Field

from medray.modalities.plan import Plan, PlanOptions

Scale = Literal["record", "window", "dataset", "none"]
OVER = " / "  # between the names of a ratio of two columns


class SignalPlan(Plan):
    """The plan of a training on signals."""

    modality: Literal["signal"] = "signal"
    rate: float = Field(gt=0, description="samples a second")
    length: int = Field(ge=1, description="samples of time that the network takes")
    leads: tuple[str, ...] = Field(description="names, in the order in which the network has them")
    context: bool = Field(False, description="it sees the median signal of a record beside each")
    scale: Scale = Field(
        "window",
        description="of each lead to mean 0 and deviation 1: by the median signal of its record, "
        "by itself, by all training signals, or not at all",
    )
    mean: tuple[float, ...] = Field((), description="of each lead, in physical units (dataset)")
    std: tuple[float, ...] = Field((), description="of each lead, in physical units (dataset)")
    columns: tuple[str, ...] = Field(
        (), description='numbers of a sample beside its signal; "a / b" is a ratio of two columns'
    )
    column_mean: tuple[float, ...] = Field((), description="of each of the columns")
    column_std: tuple[float, ...] = Field((), description="of each of the columns")

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns of a sample that the numbers are made of, each once."""
        return sources_of(self.columns)


class SignalPlanOptions(PlanOptions):
    """What of a signal the network sees, and what beside it."""

    rate: float | None = Field(None, gt=0, description="of samples that do not say theirs")
    leads: tuple[str, ...] | None = Field(
        None, min_length=1, description="null: those of the first sample"
    )
    context: bool | None = Field(
        None, description="beside a signal its record's median; null: where samples have it"
    )
    scale: Scale | None = Field(None, description="null: by its record with a context, else window")
    columns: tuple[str, ...] = Field(
        (), description='numbers of a sample beside its signal; "a / b" is a ratio of two columns'
    )


def sources_of(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of a sample that numbers are made of, each once."""
    return tuple(dict.fromkeys(part for one in columns for part in one.split(OVER, 1)))
