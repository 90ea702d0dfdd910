"""Anomaly: learnt from normal samples alone; what surprises a network is none of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor

from medray.errors import DataError
from medray.formats.signal.rhythms import Stretches, events_of
from medray.models.base import Answers, Logits
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.alarms import alarms, mistaken
from medray.tasks.along import (
    INSTEAD,
    METRICS,
    along,
    conclude_along,
    score_along,
    section_along,
)
from medray.tasks.base import Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.anomaly import (
    HOUR,
    sensitivity_at,
    summarise_anomaly,
    threshold_of,
)
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.probability import auroc, average_precision
from medray.tasks.section import Figure, ScoredCases, Section, Tile, Verdict

NORMAL, ANOMALY = 0.0, 1.0  # of a sample that is neither, NaN


class Anomaly(Task):
    """The mean surprise of normal samples: what of them a network could not give back or foretell.

    Samples of other classes are neither learnt from nor, unless they are `anomalous`, judged. An
    alarm is a surprise above the threshold, which the validation chooses by the rate of false
    alarms that is allowed.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        target: str = Field("label", description="column of the samples' class")
        normal: tuple[str, ...] = Field(min_length=1, description="classes that are learnt")
        anomalous: tuple[str, ...] = Field(
            (), description="classes to be found; none: all that are not normal"
        )
        seconds: str | float | None = Field(
            None, description="what a sample stands for: a column, or a number for all of them"
        )
        alarms_per_hour: float | None = Field(
            None, gt=0, description="false alarms that are allowed; needs `seconds`"
        )
        alarms_per_sample: float = Field(
            0.01, gt=0, lt=1, description="the same of normal samples, where no hour is given"
        )
        threshold: float | None = Field(
            None, description="surprise above which there is an alarm; null: of the validation"
        )
        of_folds: tuple[float, ...] = Field(
            (), description="of a model of folds each network's threshold, which the others chose"
        )

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.alarms_per_hour is not None and self.seconds is None:
                raise ValueError("alarms_per_hour: `seconds` says how long a sample is")
            if isinstance(self.seconds, float) and not 0 < self.seconds < float("inf"):
                raise ValueError("seconds: a number above 0")
            both = set(self.normal) & set(self.anomalous)
            if both:
                raise ValueError(f"{min(both)!r} is normal and anomalous")
            return self

    name: ClassVar[str] = "anomaly"
    answers: ClassVar[Answers] = "surprise"
    metric: ClassVar[str] = "val_surprise"
    baseline: ClassVar[str] = "principal"
    of_network: ClassVar[frozenset[str]] = frozenset({"threshold", "of_folds"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "auroc": Metric("AUROC", headline=True),
        "average_precision": Metric("average precision", headline=True),
        "sensitivity": Metric("sensitivity at the threshold", headline=True),
        "false_alarms_per_hour": Metric(
            "false alarms an hour", higher_is_better=False, digits=2, headline=True
        ),
        "false_alarms_per_case": Metric(
            "false alarms a case", higher_is_better=False, digits=4, headline=True
        ),
        "sensitivity_at_rate": Metric("sensitivity at the allowed rate of false alarms"),
        "surprise": Metric("surprise", higher_is_better=False, digits=4),
        "threshold": Metric("threshold", higher_is_better=False, digits=4),
        **METRICS,
        "anomalous": Metric("anomalous", kind="count"),
        "alarm": Metric("alarm", kind="count"),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        # The mean over a batch is then, in expectation, the mean over its normal samples.
        self._share = max(frequencies[0], 1e-6) if frequencies else 1.0
        self._hourly = options.alarms_per_hour is not None
        self._rate = options.alarms_per_hour or options.alarms_per_sample

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task."""
        return ("normal", "anomaly")

    @property
    def needs(self) -> Needs:
        """The classes, and how long samples are."""
        seconds = self.options.seconds
        beside = (seconds,) if isinstance(seconds, str) else ()
        return Needs(columns=names((self.options.target, *beside)), instead=INSTEAD)

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """float32 (samples, 2): NORMAL, ANOMALY or NaN, and seconds (NaN where not known)."""
        return torch.tensor([self._target(row) for row in rows], dtype=torch.float32).view(-1, 2)

    def _target(self, row: Mapping[str, Any]) -> tuple[float, float]:
        options, label = self.options, row.get(self.options.target)
        seconds = options.seconds
        found = row.get(seconds) if isinstance(seconds, str) else seconds
        long = float("nan")
        if isinstance(found, int | float) and not isinstance(found, bool) and found > 0:
            long = float(found)
        if label is None:
            return float("nan"), long
        if str(label) in options.normal:
            return NORMAL, long
        is_one = not options.anomalous or str(label) in options.anomalous
        return (ANOMALY if is_one else float("nan")), long

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Shares of normal samples and of anomalies.

        Raises:
            DataError: no sample is normal (code "bad-target").
        """
        shares = tuple(float((values[:, 0] == kind).mean()) for kind in (NORMAL, ANOMALY))
        if not shares[0] > 0:
            raise DataError(
                "no training sample is normal",
                code="bad-target",
                hint="check the task's `target` and `normal`",
            )
        return shares

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """The surprise of normal samples, as a share of all; 0 of others."""
        surprise = (outputs if isinstance(outputs, Tensor) else outputs[0]).float().mean(1)
        normal = target[:, 0] == NORMAL
        return torch.where(normal, surprise, 0.0) / self._share

    def probabilities(self, logits: Tensor) -> Tensor:
        """Surprises as they are, (B, 1)."""
        return logits.float()

    @property
    def columns(self) -> int:
        """The surprise."""
        return 1

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """The surprise itself: a threshold needs all cases together."""
        return [float(np.mean(answer))]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_surprise` (mean of normal cases), `val_threshold`, and where there are anomalies
        `val_auroc`, `val_average_precision`, `val_sensitivity_at_rate`."""
        given = np.full((len(table), 2), np.nan) if targets is None else targets.astype(np.float64)
        known = ~np.isnan(given[:, 0])
        surprises, anomalous = table[known, 0], given[known, 0] == ANOMALY
        amounts = self._amounts(given[known, 1])
        normal, one = ~anomalous, np.ones((1, len(surprises)))
        found = threshold_of(surprises[normal], amounts[normal], self._rate)
        reached = sensitivity_at(surprises, anomalous, amounts, self._rate, one)
        return {
            "val_surprise": float(surprises[normal].mean()) if normal.any() else float("nan"),
            "val_auroc": float(auroc(surprises, anomalous, one)[0]),
            "val_average_precision": float(average_precision(surprises, anomalous, one)[0]),
            "val_sensitivity_at_rate": float(reached[0]),
            "val_threshold": found,
        }

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        found = ("surprise", "auroc", "average_precision", "sensitivity_at_rate", "threshold")
        return frozenset(f"val_{name}" for name in found)

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The threshold, by normal cases of the validation, unless the job gives one."""
        found = metrics.get("val_threshold", float("nan"))
        if self.options.threshold is not None or not np.isfinite(found):
            return {}
        return {"threshold": found}

    @property
    def across(self) -> bool:
        """See Task."""
        return True

    def chosen_across(
        self, held_out: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Thresholds: of each network by normal cases that the others have held out, and of all
        together, who are asked of strangers, by those of all folds."""
        told, each = super().chosen_across(held_out)
        if told:
            told["of_folds"] = tuple(one["threshold"] for one in each if one)
        return told, each

    def describe(self) -> list[str]:
        """The threshold, and where it comes from."""
        options = self.options
        if options.threshold is None:
            return ["no threshold: nothing was validated"]
        rate = f"{self._rate:g} false alarms " + ("an hour" if self._hourly else "a sample")
        told = [f"alarm above a surprise of {options.threshold:.6g}, chosen for at most {rate}"]
        if options.of_folds:
            low, high = min(options.of_folds), max(options.of_folds)
            told += [f"of each fold above {low:.6g} to {high:.6g}, which the other folds chose"]
        return told

    def events(self, row: Mapping[str, Any]) -> Stretches:
        """See Task: what is anomalous, beats as stretches of no length."""
        return [
            (onset, end, self.classes[1])
            for onset, end, name in events_of(row)
            if self._target({self.options.target: name})[0] == ANOMALY
        ]

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; `anomalous` is None where the case is not judged. A recording without a class is
        judged by its annotations, see medray.tasks.metrics.intervals.

        Raises:
            DataError: the surprise is no number (code "nonfinite-output").
        """
        if along(truth, self.options.target):
            return score_along(truth, prediction, self.events(truth.row), self.classes)
        kind, seconds = self._target(truth.row)
        row: dict[str, Any] = {
            "status": "no-prediction" if prediction is None else "scored",
            "surprise": None,
            "anomalous": None if np.isnan(kind) else int(kind),
            "alarm": None,
            "seconds": None if np.isnan(seconds) else seconds,
        }
        if np.isnan(kind):
            row["status"] = "not-judged"
        if prediction is not None:
            row["surprise"] = float(prediction.row["surprise"])
            if not np.isfinite(row["surprise"]):
                raise DataError("a surprise is NaN or Inf", code="nonfinite-output", about=truth.id)
            if prediction.row.get("predicted") is not None:
                row["alarm"] = int(prediction.row["predicted"] == self.classes[1])
        return [row]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        found = conclude_along(self.name, cases, self.classes, bootstrap)
        return found or summarise_anomaly(cases, self._rate, self._hourly, bootstrap)

    def section(self, scores: ScoredCases) -> Section:
        """ROC, the threshold, how records differ, and which cases it is wrong about. Of recordings
        what is told of intervals."""
        if "curves" not in scores.summary:
            return section_along(super().section(scores), scores)
        figures = [Figure("roc", "ROC", {"curves": scores.summary["curves"]["roc"]})]
        section = super().section(scores)
        per = "an hour" if self._hourly else "a case"
        spread = alarms(scores.cases, self.metrics, self._hourly, self._rate)
        threshold = self.options.threshold
        chosen = "" if threshold is None else "the threshold was chosen so in the validation, and "
        if self.options.of_folds:
            chosen = "each fold's threshold was chosen so on what the others have held out, and "
        meant = (
            "A false alarm is a normal case above the threshold. Allowed are "
            f"{self._rate:g} false alarms {per} of normal cases; {chosen}the sensitivity at the "
            "allowed rate takes the threshold that the scored normal cases themselves allow."
        )
        told = [] if threshold is None else [self._tile(threshold, per)]
        return replace(
            section,
            tiles=[*section.tiles, *told],
            figures=[*figures, *spread.figures],
            tables=[*section.tables, *spread.tables],
            notes=[one[0].upper() + one[1:] + "." for one in self.describe()],
            pictures=mistaken(scores.cases, None if self.options.of_folds else threshold),
            definitions=[meant],
        )

    def _tile(self, threshold: float, per: str) -> Tile:
        chosen = f"in the validation, for {self._rate:g} false alarms {per}"
        if self.options.of_folds:
            low, high = min(self.options.of_folds), max(self.options.of_folds)
            chosen = f"{low:.4f} to {high:.4f} in folds, chosen by the others"
        return Tile(Metric("alarm above a surprise of", digits=4), threshold, note=chosen)

    def verdict(self, truth: Mapping[str, Any], answer: Mapping[str, Any] | None) -> Verdict | None:
        """Its class, and whether there is an alarm."""
        label = truth.get(self.options.target)
        if label is None or answer is None:
            return None if label is None else Verdict(str(label), "", wrong=False)
        called = answer.get("predicted")
        alarm = called == self.classes[1]
        kind, _ = self._target(truth)
        wrong = called is not None and alarm != (kind == ANOMALY) and not np.isnan(kind)
        return Verdict(str(label), "alarm" if alarm else "none" if wrong else "", wrong=wrong)

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """`surprise`, and with a threshold `predicted`: "normal" or "anomaly"."""
        surprise = float(np.mean(probabilities))
        if self.options.threshold is None:
            return {"surprise": surprise}
        return {
            "surprise": surprise,
            "predicted": self.classes[int(surprise > self.options.threshold)],
        }

    def _amounts(self, seconds: np.ndarray) -> np.ndarray:
        """Hours, or samples, that each case stands for; of unknown length it is no time."""
        hours: np.ndarray = np.nan_to_num(seconds) / HOUR
        return hours if self._hourly else np.ones(len(seconds))
