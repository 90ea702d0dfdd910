"""Regression: one value, or several, for a whole sample."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medray.errors import DataError
from medray.models.base import Answers, Logits
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Level, Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.concordance import concordance
from medray.tasks.metrics.conformal import fewest, margins
from medray.tasks.metrics.regression import (
    pearson,
    r2,
    rmse,
    score_regression,
    spearman,
    summarise_regression,
)
from medray.tasks.section import Figure, ScoredCases, Section

SHOWN = 4  # values, of several, that figures are drawn of


class Regression(Task):
    """Squared or Huber's error of values in deviations from the training mean.

    The network answers in standardised values. Means and deviations of the training targets are
    what the plan keeps as `frequencies`: all means, then all deviations.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        target: str | tuple[str, ...] = Field(
            "value", description="column of numbers, or several; of several some may be missing"
        )
        loss: Literal["mse", "huber"] = "mse"
        huber_delta: float = Field(
            1.0, gt=0, description="errors beyond it count linearly; in standard deviations"
        )
        level: Level = Field(
            None, description="share of values that shall lie from `low` to `high`; null: neither"
        )
        margins: tuple[float, ...] = Field(
            (), description="half of that interval, of each value; empty: the validation says"
        )

    name: ClassVar[str] = "regression"
    answers: ClassVar[Answers] = "sample"
    metric: ClassVar[str] = "val_r2"
    baseline: ClassVar[str] = "ridge"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "r2": Metric("R²", headline=True),
        "pearson": Metric("Pearson r", headline=True),
        "spearman": Metric("Spearman r", headline=True),
        "ci": Metric("concordance index"),
        "rmse": Metric("RMSE", higher_is_better=False, headline=True),
        "mse": Metric("MSE", higher_is_better=False),
        "mae": Metric("MAE", higher_is_better=False),
        "coverage": Metric("in the interval", headline=True),
        "width": Metric("interval's width", higher_is_better=False),
        "margin": Metric("half of the interval", higher_is_better=False, per_class=False),
        "error": Metric("error", higher_is_better=False),
    }
    of_network: ClassVar[frozenset[str]] = frozenset({"margins"})

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        count = len(self.classes)
        found = frequencies or (0.0,) * count + (1.0,) * count
        self._mean, self._std = torch.tensor(found, dtype=torch.float32).view(2, count)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the values."""
        target = self.options.target
        return (target,) if isinstance(target, str) else target

    @property
    def calibrates(self) -> bool:
        """See Task: intervals that are asked for and not given."""
        return self.options.level is not None and not self.options.margins

    @property
    def needs(self) -> Needs:
        """The columns that are to be predicted."""
        return Needs(columns=names(self.classes))

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """float32 (samples, values) in their own unit, NaN where one is missing."""
        return torch.tensor([self._target(row) for row in rows], dtype=torch.float32)

    def _target(self, row: dict[str, Any]) -> list[float]:
        values = [row.get(name) for name in self.classes]
        numbers = [float("nan") if value is None else value for value in values]
        if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
            raise _bad_target(row, "a value is no number")
        if any(np.isinf(numbers)):
            raise _bad_target(row, "a value is infinite")
        if len(numbers) == 1 and np.isnan(numbers[0]):
            raise _bad_target(row, "the value is not known")
        return [float(number) for number in numbers]

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Mean of each value, then deviation of each; 1 where all are equal."""
        known = values.astype(np.float64)
        if np.isnan(known).all(0).any():
            raise DataError(
                "a value is missing in all training samples",
                code="bad-target",
                hint="check the task's `target`",
            )
        mean, std = np.nanmean(known, 0), np.nanstd(known, 0)
        return (*mean.tolist(), *np.where(std > 0, std, 1.0).tolist())

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See Task; the mean over the values that are known."""
        answers = (outputs if isinstance(outputs, Tensor) else outputs[0]).float()
        wanted = (target - self._mean.to(target.device)) / self._std.to(target.device)
        known = ~wanted.isnan()
        # NaN goes before the difference: a gradient through it would be NaN times zero.
        wanted = torch.where(known, wanted, answers.detach())
        if self.options.loss == "huber":
            delta = self.options.huber_delta
            loss = functional.huber_loss(answers, wanted, reduction="none", delta=delta)
        else:
            loss = functional.mse_loss(answers, wanted, reduction="none")
        mean: Tensor = loss.sum(1) / known.sum(1).clamp(min=1)
        return mean

    def probabilities(self, logits: Tensor) -> Tensor:
        """Values in their own unit, (B, values)."""
        mean, std = self._mean.to(logits.device), self._std.to(logits.device)
        values: Tensor = logits.float() * std + mean
        return values

    @property
    def columns(self) -> int:
        """A value each."""
        return len(self.classes)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """The values themselves: correlations need all cases together."""
        return [float(value) for value in answer]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_r2`, `val_pearson`, `val_spearman`, `val_rmse` and `val_ci`, means over the values;
        of several values the R^2 of each."""
        truth = np.full(table.shape, np.nan) if targets is None else targets.astype(np.float64)
        known = ~np.isnan(truth)
        found: dict[str, list[float]] = {}
        for index in range(table.shape[1]):
            judged = known[:, index]
            given, actual = table[judged, index], truth[judged, index]
            one = np.ones((1, len(actual)))
            for name, metric in (
                ("val_r2", r2),
                ("val_pearson", pearson),
                ("val_spearman", spearman),
                ("val_rmse", rmse),
                ("val_ci", concordance),
            ):
                value = float(metric(given, actual, one)[0]) if len(actual) else float("nan")
                found.setdefault(name, []).append(value)
        metrics = {name: float(np.mean(values)) for name, values in found.items()}
        if len(self.classes) > 1:
            pairs = zip(self.classes, found["val_r2"], strict=True)
            metrics |= {f"val_r2_{name}": value for name, value in pairs}
        if self.options.level is not None:
            found_margins = margins(table, truth, self.options.level)
            metrics |= dict(zip(self._margins, found_margins, strict=True))
        return metrics

    @property
    def _margins(self) -> list[str]:
        """What the validation calls half of each value's interval."""
        several = len(self.classes) > 1
        return [f"val_margin_{name}" if several else "val_margin" for name in self.classes]

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The intervals, by the errors in the validation, unless the job gives them."""
        found = [metrics.get(name, float("nan")) for name in self._margins]
        if not self.calibrates or not np.isfinite(found).all():
            return {}
        return {"margins": found}

    def describe(self) -> list[str]:
        """The intervals, and where they come from."""
        level, halves = self.options.level, self.options.margins
        if level is None:
            return []
        if not halves:
            return [f"no intervals: {level:g} takes {fewest(level)} validated values of each"]
        pairs = zip(self.classes, halves, strict=True)
        told = ", ".join(f"{name} ± {half:.4g}" for name, half in pairs)
        return [f"intervals that shall hold {level:g} of new values: {told}"]

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        each = () if len(self.classes) == 1 else self.classes
        of_each = (f"val_r2_{name}" for name in each)
        halves = self._margins if self.options.level is not None else ()
        of_all = (f"val_{name}" for name in ("r2", "pearson", "spearman", "rmse", "ci"))
        return frozenset({*of_all, *of_each, *halves})

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; see medray.tasks.metrics.regression."""
        actual, given = np.asarray(self._target(truth.row)), None
        if prediction is not None:
            given, low, high = (
                np.atleast_1d(np.asarray(prediction.row.get(name, np.nan), np.float64))
                for name in ("predicted", "low", "high")
            )
            if self.options.margins:
                return [score_regression(actual, given, (low, high))]
        return [score_regression(actual, given)]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        return summarise_regression(cases, self.classes, bootstrap)

    def section(self, scores: ScoredCases) -> Section:
        """The truth against predictions, in tenths and case by case, and what is left over."""
        curves = {"curves": scores.summary["curves"]["calibration"]}
        figures = [Figure("calibration", "Predicted and true", curves)]
        for at, name in enumerate(self.classes[:SHOWN]):
            pairs = [
                (row["predicted"][at], row["actual"][at])
                for row in scores.cases
                if row["status"] == "scored" and row["actual"][at] is not None
            ]
            given = [one for one, _ in pairs]
            for title, labels, up in (
                ("case by case", ("predicted", "true"), [true for _, true in pairs]),
                ("residuals", ("predicted", "true - predicted"), [b - a for a, b in pairs]),
            ):
                data = {"labels": labels, "x": given, "y": up}
                figures.append(Figure("scatter", f"{name}: {title}", data))
        return replace(super().section(scores), figures=figures, definitions=self._defined())

    def _defined(self) -> list[str]:
        meant = "of new values, where these are like the validation's"
        halves = self.options.margins
        return [f"An interval shall hold {self.options.level:g} {meant}."] if halves else []

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """`predicted`: the value in its own unit, or a list of several; with intervals `low` and
        `high`, likewise."""
        values = np.asarray(probabilities, np.float64)
        row = {"predicted": values}
        if self.options.margins:
            halves = np.asarray(self.options.margins)
            row |= {"low": values - halves, "high": values + halves}
        single = isinstance(self.options.target, str)
        return {name: float(of[0]) if single else of.tolist() for name, of in row.items()}


def _bad_target(row: dict[str, Any], why: str) -> DataError:
    return DataError(
        f"no usable target: {why}",
        code="bad-target",
        about=str(row.get("sample_id", "")),
        hint="check the task's `target`",
    )
