"""Operating points: risks from which on there is an alert, and how they come about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

ROUNDED = 1e-6


@dataclass(frozen=True)
class Points:
    """Operating points, in order: at stated risks, at stated sensitivities, at stated alert rates.

    Args:
        thresholds: risks that are stated.
        sensitivities: shares of events that shall be found.
        alert_rates: shares of cases that shall have an alert.
        cutoffs: the risks of the last two, which a validation chose; none: nobody has.
    """

    thresholds: Sequence[float]
    sensitivities: Sequence[float]
    alert_rates: Sequence[float]
    cutoffs: Sequence[float]

    @property
    def open(self) -> bool:
        """Whether there are points whose risk only a validation tells, and none did."""
        return bool((*self.sensitivities, *self.alert_rates)) and not self.cutoffs

    @property
    def risks(self) -> list[float | None]:
        """From which on there is an alert, of each point; None: nobody has chosen it."""
        chosen: list[float | None] = list(self.cutoffs)
        missing: list[float | None] = [None] * len((*self.sensitivities, *self.alert_rates))
        return [*self.thresholds, *(chosen or missing)]

    @property
    def names(self) -> list[str]:
        """In words."""
        return [
            *(f"risk ≥ {one:g}" for one in self.thresholds),
            *(f"sensitivity {one:g}" for one in self.sensitivities),
            *(f"alerts {one:g}" for one in self.alert_rates),
        ]

    def chosen(self, risks: FloatArray, events: FloatArray) -> tuple[float, ...]:
        """Cutoffs of the last two kinds; none where there is no event, or nothing is asked for.

        The highest risk of a case that still finds so many events, or alerts so many cases, where
        ties may make them more.

        Args:
            risks: calibrated, of the validation, (cases,).
            events: 0 or 1, (cases,).
        """
        if not (*self.sensitivities, *self.alert_rates) or not events.any():
            return ()
        return (
            *(_highest(risks[events > 0.5], one) for one in self.sensitivities),
            *(_highest(risks, one) for one in self.alert_rates),
        )

    def alerts(self, risk: float) -> list[int | None]:
        """Whether there is an alert at each point, 1 or 0; None: its risk is not known."""
        return [None if one is None else int(risk >= one) for one in self.risks]

    def told(self) -> list[dict[str, Any]]:
        """A row for each point, with its name and its risk."""
        pairs = zip(self.names, self.risks, strict=True)
        return [{"point": name, "risk": risk} for name, risk in pairs]

    def describe(self) -> list[str]:
        """See Task.describe."""
        if self.open:
            return ["no cutoff for stated sensitivities and alert rates: nothing was validated"]
        first = len(self.thresholds)
        pairs = list(zip(self.names, self.risks, strict=True))[first:]
        return [f"{name}, in the validation: risk ≥ {risk:.4g}" for name, risk in pairs]


def _highest(risks: FloatArray, share: float) -> float:
    """Of that share of cases; a millionth lower, for answers are rounded to float32."""
    falling = np.sort(risks)[::-1]
    return float(falling[max(1, int(np.ceil(share * len(falling) - 1e-9))) - 1]) * (1 - ROUNDED)


def options_of(options: Any) -> Mapping[str, Sequence[float]]:
    """What `Points` takes of a task's options."""
    names = ("thresholds", "sensitivities", "alert_rates", "cutoffs")
    return {name: getattr(options, name) for name in names}
