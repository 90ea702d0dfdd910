"""Survival: when an event will be, learnt also from those who were not watched until it came."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor

from medray.errors import DataError
from medray.models.base import Answers, Logits
from medray.spec.base import MOST
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.survival.brier import brier, integrated
from medray.tasks.metrics.survival.curves import at_times, median
from medray.tasks.metrics.survival.summary import concordance_of, judged_times, summarise_survival
from medray.tasks.section import ScoredCases, Section
from medray.tasks.survival.cox import Proportional, breslow, partial_likelihood
from medray.tasks.survival.hazard import Hazards, cuts_of, of_everybody
from medray.tasks.survival.page import section_of_curves

EVENT = "event"


class Survival(Task):
    """Discrete hazards, or Cox's proportional ones, of one event or of several that compete.

    An answer is the cumulative incidence of each cause at `times`, so the mean of several networks
    is that of their curves. What the plan keeps as `frequencies` are ends of intervals, chosen by
    the training targets alone, and what these say of all samples alike: the log odds of each cause
    in each interval, or with loss "cox" the cumulative hazard at its end.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        time: str = Field("time", description="column: until the event, or the end of watching")
        event: str = Field(
            "event", description="column: 0 where none was seen, 1, or the code or name of a cause"
        )
        events: tuple[str, ...] = Field(
            (), description="names of the codes 1, 2, …; of several, they compete"
        )
        censored: str = Field(
            "", description="what a column of words says of those who had no event"
        )
        loss: Literal["hazard", "cox"] = "hazard"
        intervals: int = Field(20, ge=1, le=1000, description="of time, at most")
        cuts: Literal["events", "survival"] = Field(
            "events", description="each interval has as many events, or Kaplan-Meier falls as far"
        )
        horizons: tuple[float, ...] = Field(
            (), description="times at which survival is told by itself, and calibration is judged"
        )
        times: tuple[float, ...] = Field(
            (), description="when curves are told; empty: as the selected samples' events lie"
        )

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.loss == "cox" and len(self.events) > 1:
                raise ValueError("`cox` is of one event: take `hazard` where several compete")
            if len({*self.events, self.censored}) <= len(self.events):
                raise ValueError("`events` and `censored` are different names")
            if any(b <= a for a, b in zip((0.0, *self.times), self.times, strict=False)):
                raise ValueError("`times` rise, from above 0")
            if any(one <= 0 for one in self.horizons):
                raise ValueError("`horizons` are above 0")
            return self

    name: ClassVar[str] = "survival"
    answers: ClassVar[Answers] = "sample"
    metric: ClassVar[str] = "val_c_index"
    baseline: ClassVar[str] = "cox"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "c_index": Metric("C-index (Harrell)", headline=True),
        "brier": Metric("Brier score over time", higher_is_better=False, headline=True),
        "brier_unknowing": Metric("Brier, same curve for all", higher_is_better=False),
        "time": Metric("time", digits=1),
        "observed": Metric("seen", kind="text"),
        "risk": Metric("risk (higher: earlier)", higher_is_better=False),
        "median": Metric("median", digits=1),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self.causes = options.events or (EVENT,)
        found = np.asarray(frequencies or (), np.float64)
        count = len(found) // (1 + len(self.causes))
        self._cuts, self._everybody = found[:count], found[count:]

    @property
    def classes(self) -> tuple[str, ...]:
        """Of each cause its intervals; with loss "cox" one log risk."""
        if self.options.loss == "cox":
            return (*self.causes,)
        count = self.options.intervals
        return tuple(f"{cause} {at + 1}" for cause in self.causes for at in range(count))

    @property
    def whole_batch(self) -> bool:  # type: ignore[override]
        """See Task: Cox's partial likelihood is of all samples together."""
        return self.options.loss == "cox"

    @property
    def times(self) -> tuple[float, ...]:
        """See Task."""
        return self.options.times or tuple(self._cuts.tolist())

    @property
    def needs(self) -> Needs:
        """The columns that say what happened, and when."""
        return Needs(columns=names(self.options.time, self.options.event))

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """float32 (samples, 2): time, and the number of the cause from 1, or 0."""
        values = [self._target(row) for row in rows]
        return torch.tensor(values, dtype=torch.float32).reshape(-1, 2)

    def _target(self, row: Mapping[str, Any]) -> tuple[float, float]:
        time = row.get(self.options.time)
        about = str(row.get("sample_id", ""))
        if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time <= MOST:
            raise DataError(
                f"no usable target: {self.options.time!r} holds no time",
                code="bad-target",
                about=about,
                hint=f"a time is a number from 0 to {MOST:.0e}; leave out the samples without one, "
                "in the source or by `select`",
            )
        return float(time), float(self._cause(row.get(self.options.event), about))

    def _cause(self, value: Any, about: str) -> int:
        told, options = (self.options.event, self.options)
        if value is None:
            raise DataError(
                f"no usable target: {told!r} says nothing",
                code="bad-target",
                about=about,
                hint="leave out the samples without one, in the source or by `select`",
            )
        if isinstance(value, str):
            if value in options.events:
                return options.events.index(value) + 1
            if value == options.censored or value in ("0", "1"):
                return int(value == "1")
        elif value in range(len(self.causes) + 1):
            return int(value)
        raise DataError(
            f"{told!r} holds an event that is not named",
            code="unknown-event",
            about=about,
            hint="`events` names the codes 1, 2, …, where several compete; `censored` what words "
            "say of no event. Nothing is taken for an event that is not said to be one",
        )

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Ends of intervals, by the events among the training targets, and behind them what these
        say of all samples alike; see the class."""
        time, event = values[:, 0].astype(np.float64), values[:, 1]
        for number, cause in enumerate(self.causes, 1):
            if not (event == number).any():
                raise DataError(
                    f"no training sample has the event {cause!r}",
                    code="no-events",
                    hint="check the task's `event`, and which samples are selected",
                )
        cuts = np.asarray(self._cuts_of(values))
        if self.options.loss == "cox":
            alike = breslow(time, event, np.zeros(len(time)), cuts)
        else:
            alike = of_everybody(time, event, cuts, len(self.causes))
        return (*cuts.tolist(), *alike.ravel().tolist())

    def _cuts_of(self, values: np.ndarray) -> list[float]:
        time = values[:, 0].astype(np.float64)
        found = cuts_of(time, values[:, 1], self.options.intervals, self.options.cuts)
        if not found:
            raise DataError("all events are at time 0", code="no-events", hint="check the times")
        return found

    def settled(self, targets: Callable[[], np.ndarray]) -> dict[str, Any]:
        """See Task: when curves are told, unless the job says."""
        if self.options.times:
            return {}
        found = targets()
        return {"times": self._cuts_of(found)} if (found[:, 1] > 0).any() else {}

    def refitted(self, ask: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[float, ...]:
        """See Task: of loss "cox" the cumulative hazard of log risk 0, by Breslow (1974)."""
        if self.options.loss != "cox":
            return ()
        table, targets = ask()
        time, event = targets[:, 0].astype(np.float64), targets[:, 1]
        hazard = breslow(time, event, self._proportional.risks(table), self._cuts)
        return (*self._cuts.tolist(), *hazard.tolist())

    @cached_property
    def _hazards(self) -> Hazards:
        everybody = self._everybody.reshape(len(self.causes), -1)
        return Hazards(self._cuts, everybody, np.asarray(self.times))

    @cached_property
    def _proportional(self) -> Proportional:
        return Proportional(self._cuts, self._everybody, np.asarray(self.times))

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See Task; medray.tasks.survival.hazard and .cox."""
        logits = (outputs if isinstance(outputs, Tensor) else outputs[0]).float()
        if self.options.loss == "cox":
            return partial_likelihood(logits[:, 0], target)
        return self._hazards.loss(logits, target)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Cumulative incidence of each cause at `times`, (B, causes * times)."""
        made = self._proportional if self.options.loss == "cox" else self._hazards
        return made.incidence(logits)

    @property
    def columns(self) -> int:
        """As many as an answer has numbers."""
        return len(self.causes) * len(self.times)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """The curves themselves: concordance needs all cases together."""
        return [float(value) for value in answer]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_c_index` and `val_brier`, means over causes."""
        if targets is None or not len(targets):
            return {"val_c_index": float("nan"), "val_brier": float("nan")}
        time, event = targets[:, 0].astype(np.float64), targets[:, 1].astype(np.int64)
        one, times = np.ones((1, len(time))), np.asarray(self.times)
        incidence = table.reshape(len(table), len(self.causes), -1)
        judged = judged_times(time, self.times[-1])
        concordant, scores = [], []
        for cause in range(len(self.causes)):
            curves = incidence[:, cause]
            concordant.append(concordance_of(curves.mean(1), time, event, cause + 1, one)[0])
            if len(judged):
                told = at_times(curves, times, judged)
                found = brier(told, time, event, cause + 1, judged, one)
                scores.append(integrated(found, judged)[0])
        return {
            "val_c_index": float(np.mean(concordant)),
            "val_brier": float(np.mean(scores)) if scores else float("nan"),
        }

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_c_index", "val_brier"})

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """`risk`, the chance of an event, of any cause, by one of `times` drawn at random, which
        lie as events do: higher is earlier; `survival` at `times`; `median`, null where it is not
        reached. With horizons `survival_at` them, null beyond the last time. Of several causes
        `incidence` of each by its name."""
        times = np.asarray(self.times)
        incidence = np.asarray(probabilities, np.float64).reshape(len(self.causes), -1)
        every = incidence.sum(0)
        row: dict[str, Any] = {
            "risk": float(every.mean()),
            "median": median(every, times),
            "times": times.tolist(),
            "survival": (1 - every).tolist(),
        }
        if self.options.horizons:
            told = 1 - at_times(every, times, np.asarray(self.options.horizons))
            pairs = zip(self.options.horizons, told.tolist(), strict=True)
            row["survival_at"] = [one if when <= times[-1] else None for when, one in pairs]
        if len(self.causes) > 1:
            row["incidence"] = dict(zip(self.causes, incidence.tolist(), strict=True))
        return row

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; see medray.tasks.metrics.survival.summary."""
        time, event = self._target(truth.row)
        seen = self.causes[int(event) - 1] if event else "not seen"
        row: dict[str, Any] = {"time": time, "event": int(event), "observed": seen}
        if prediction is None:
            empty = dict.fromkeys(("risk", "median", "risks", "times", "incidence"))
            return [{"status": "no-prediction", **row, **empty}]
        given = prediction.row
        times = np.asarray(given["times"], np.float64)
        incidence = 1 - np.asarray([given["survival"]], np.float64)
        if len(self.causes) > 1:
            incidence = np.asarray([given["incidence"][one] for one in self.causes], np.float64)
        if not np.isfinite(incidence).all():
            raise DataError("a predicted curve holds NaN or Inf", code="nonfinite-output")
        return [
            {
                "status": "scored",
                **row,
                "risk": given["risk"],
                "median": given["median"],
                "risks": incidence.mean(1).tolist(),
                "times": times.tolist(),
                "incidence": incidence.ravel().tolist(),
            }
        ]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        return summarise_survival(cases, self.causes, bootstrap, self.options.horizons)

    def section(self, scores: ScoredCases) -> Section:
        """See medray.tasks.survival.page."""
        return section_of_curves(super().section(scores), scores)
