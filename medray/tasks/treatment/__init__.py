"""Treatment effects: what an outcome would be with a treatment, and without it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from medray.errors import DataError
from medray.ids import fraction
from medray.models.base import Answers, Logits
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.section import ScoredCases, Section
from medray.tasks.treatment.estimates import Nuisance
from medray.tasks.treatment.options import EffectOptions
from medray.tasks.treatment.page import section_of_effects
from medray.tasks.treatment.summary import HATS, summarise

PROPENSITY = 2  # place among the answers, behind the outcomes of both arms
FEATURES = "features"  # array whose columns are to be balanced
LEAST = 1e-6  # chance in a logarithm
FEWEST = 0.01  # share of an arm as which a smaller one counts


class TreatmentEffect(Task):
    """Two outcomes of each sample, of which one was seen, and the chance of treatment.

    First stage: a network answers y0, y1, the propensity and, where outcomes are lost, the chance
    of being observed in either arm. Second stage (`pseudo`): it answers the effect itself, learnt
    from pseudo-outcomes that networks which had not seen the sample have made (DR-learner, Kennedy
    2020); the nuisances are then columns of the data. Both are judged by the same estimates.
    """

    Options: ClassVar[type[TaskOptions]] = EffectOptions
    name: ClassVar[str] = "treatment-effect"
    answers: ClassVar[Answers] = "sample"
    metric: ClassVar[str] = "val_rmse"
    baseline: ClassVar[str] = "t-learner"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "ate": Metric("average effect", best=math.nan, headline=True),
        "att": Metric("effect on the treated", best=math.nan, headline=True),
        "naive": Metric("naive difference", best=math.nan),
        "root_pehe": Metric("√PEHE", higher_is_better=False, headline=True),
        "ate_error": Metric("error of the mean effect", higher_is_better=False, headline=True),
        "rmse": Metric("RMSE of outcomes seen", higher_is_better=False),
        "propensity_log_loss": Metric("log loss of the propensity", higher_is_better=False),
        "treated": Metric("treated", kind="count", per_class=False),
        "outcome": Metric("outcome", per_class=False),
        "y0": Metric("y0", per_class=False),
        "y1": Metric("y1", per_class=False),
        "effect": Metric("effect", per_class=False),
        "true_effect": Metric("true effect", per_class=False),
        "propensity": Metric("propensity", per_class=False),
    }

    def __init__(self, options: EffectOptions, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self._weigh = options.dropouts == "weigh"
        self._mean, self._std = tuple(frequencies[:2]) if frequencies else (0.0, 1.0)
        self._arms = (1.0, 1.0)
        if frequencies and options.balanced:
            share = min(max(frequencies[2], FEWEST), 1 - FEWEST)
            self._arms = (0.5 / (1 - share), 0.5 / share)

    @property
    def classes(self) -> tuple[str, ...]:
        """What a network answers."""
        if self.options.pseudo:
            return ("effect",)
        lost = ("observed0", "observed1") if self._weigh else ()
        return ("y0", "y1", "propensity", *lost)

    @property
    def needs(self) -> Needs:
        """Outcome and treatment; in the second stage nuisances and pseudo-outcomes, too."""
        options = self.options
        drawn = options.placebo is not None
        second = (options.pseudo, *HATS.values()) if options.pseudo else ()
        treatment = None if drawn else options.treatment
        return Needs(columns=names(options.outcome, treatment, options.truth, second))

    def wants(self, truth: bool) -> tuple[str, ...]:
        """Features of the truth, whose balance is told."""
        return (FEATURES,) if truth else ()

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """float32 (samples, 2): outcome, NaN where it was lost, and treatment; in the second stage
        pseudo-outcome and treatment."""
        return torch.tensor([self._target(row) for row in rows], dtype=torch.float32).view(-1, 2)

    def _target(self, row: Mapping[str, Any]) -> tuple[float, float]:
        treated = self._treated(row)
        if self.options.pseudo:
            return _number(row, self.options.pseudo), treated
        return self._outcome(row, treated), treated

    def _treated(self, row: Mapping[str, Any]) -> float:
        if self.options.placebo is not None:
            return float(fraction(0, f"placebo\0{row.get('sample_id', '')}") < self.options.placebo)
        value = row.get(self.options.treatment)
        if isinstance(value, bool) or value not in (0, 1):
            raise _bad_target(row, f"{self.options.treatment!r} is neither 0 nor 1")
        return float(value)

    def _outcome(self, row: Mapping[str, Any], treated: float) -> float:
        column = self.options.outcome
        name = column if isinstance(column, str) else column[int(treated)]
        if row.get(name) is None and self._weigh:
            return float("nan")
        return _number(row, name)

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Mean and deviation of what is learnt, shares of the treated and of those observed.

        Raises:
            DataError: all are treated, or none, or an arm has no outcome (code "one-arm").
        """
        target, treated = values.astype(np.float64).T
        known = ~np.isnan(target)
        if not self.options.pseudo and len(np.unique(treated[known])) < 2:
            raise DataError(
                "outcomes are known of one arm only",
                code="one-arm",
                hint="check the task's `treatment` and `outcome`",
            )
        std = float(target[known].std())
        shares = (float(treated.mean()), float(known.mean()))
        return (float(target[known].mean()), std if std > 0 else 1.0, *shares)

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """Squared error of the outcome that was seen, in deviations, and cross-entropies of
        treatment and of being observed; in the second stage squared error of the pseudo-outcome."""
        answers = (outputs if isinstance(outputs, Tensor) else outputs[0]).float()
        wanted, treated = (target[:, 0] - self._mean) / self._std, target[:, 1]
        if self.options.pseudo:
            return (answers[:, 0] - wanted) ** 2
        known = ~wanted.isnan()
        given = torch.where(treated == 1, answers[:, 1], answers[:, 0])
        # NaN goes before the difference: a gradient through it would be NaN times zero.
        loss = (given - torch.where(known, wanted, given.detach())) ** 2
        loss = loss * torch.where(treated == 1, self._arms[1], self._arms[0])
        entropy = functional.binary_cross_entropy_with_logits
        own = entropy(answers[:, PROPENSITY], treated, reduction="none")
        loss = loss + self.options.propensity_weight * own
        if self._weigh:
            seen = torch.where(treated == 1, answers[:, -1], answers[:, -2])
            loss = loss + entropy(seen, known.float(), reduction="none")
        return loss

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, answers): outcomes in their own unit, chances 0 … 1; or (B, 1), the effect."""
        answers = logits.float()
        if self.options.pseudo:
            return answers * self._std + self._mean
        outcomes = answers[:, :PROPENSITY] * self._std + self._mean
        return torch.cat([outcomes, answers[:, PROPENSITY:].sigmoid()], 1)

    @property
    def columns(self) -> int:
        """An answer each."""
        return len(self.classes)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """The answers themselves."""
        return [float(value) for value in answer]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_rmse` of outcomes that were seen (or of pseudo-outcomes), and in the first stage
        `val_propensity_log_loss`; neither looks at what only a simulation knows."""
        given = np.full((len(table), 2), np.nan) if targets is None else targets.astype(np.float64)
        wanted, treated = given.T
        expected = table[:, 0]
        if not self.options.pseudo:
            expected = np.where(treated == 1, table[:, 1], table[:, 0])
        errors = (wanted - expected)[~np.isnan(wanted)]
        found = {"val_rmse": float(np.sqrt((errors**2).mean())) if len(errors) else float("nan")}
        if not self.options.pseudo and len(table):
            chance = np.where(treated == 1, table[:, PROPENSITY], 1 - table[:, PROPENSITY])
            found["val_propensity_log_loss"] = float(-np.log(np.maximum(chance, LEAST)).mean())
        return found

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        second = () if self.options.pseudo else ("val_propensity_log_loss",)
        return names("val_rmse", second)

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row. Nuisances are of the prediction, in the second stage of the data.

        Raises:
            DataError: treatment or outcome are unusable ("bad-target"), or an answer is no number
                ("nonfinite-output").
        """
        about = {**truth.row, "sample_id": truth.id}
        treated = self._treated(about)
        outcome = self._outcome(about, treated)
        row: dict[str, Any] = {
            "status": "dropout" if np.isnan(outcome) else "scored",
            "treated": int(treated),
            "outcome": None if np.isnan(outcome) else outcome,
        }
        if prediction is None:
            row["status"] = "no-prediction"
        found = self._answered(about, None if prediction is None else prediction.row, treated)
        found["true_effect"] = self._true(about, treated, outcome)
        if any(value is not None and not np.isfinite(value) for value in found.values()):
            raise DataError("an answer is NaN or Inf", code="nonfinite-output", about=truth.id)
        features = truth.arrays.get(FEATURES)
        if isinstance(features, np.ndarray):
            row["features"] = features.astype(np.float64).tolist()
        return [row | found]

    def _answered(
        self, row: Mapping[str, Any], given: Mapping[str, Any] | None, treated: float
    ) -> dict[str, Any]:
        """Nuisances, of which `observed` is that of the case's arm, and the effect."""
        columns = ("y0", "y1", "propensity", "observed", "effect")
        if given is None:
            return dict.fromkeys(columns)
        told = {name: row.get(hat) for name, hat in HATS.items()} if self.options.pseudo else given
        seen = told.get(f"observed{int(treated)}") if self._weigh else 1.0
        values = (told.get("y0"), told.get("y1"), told.get("propensity"), seen, given.get("effect"))
        return dict(zip(columns, values, strict=True))

    def _true(self, row: Mapping[str, Any], treated: float, outcome: float) -> float | None:
        """What a simulation says of the effect; None where there is nothing to say."""
        options = self.options
        if options.placebo is not None:
            return None
        if options.truth is not None:
            low, high = (_number(row, name) for name in options.truth)
            return high - low
        if options.counterfactual:
            other = _number(row, options.counterfactual)
            return outcome - other if treated else other - outcome
        return None

    def second_stage(self, truth: Sample, prediction: Sample) -> dict[str, float]:
        """Columns that the second stage learns from: nuisances, by the names of HATS, and "pseudo",
        the pseudo-outcome.

        Args:
            truth: with outcome and treatment.
            prediction: of a network that has not seen the sample.

        Raises:
            DataError: as `score`, or the treatment that was given had no chance ("no-overlap").
        """
        (row,) = self.score(Sample(truth.id, truth.row), prediction)
        columns = {
            one.name: np.array([np.nan if row[one.name] is None else row[one.name]], np.float64)
            for one in fields(Nuisance)
        }
        chance = row["propensity"] if row["treated"] else 1 - row["propensity"]
        if not chance * row["observed"] > 0:
            raise DataError(
                "the treatment that was given had no chance",
                code="no-overlap",
                about=truth.id,
                hint="a stronger penalty keeps propensities from 0 and 1, or select such away",
            )
        told = {hat: prediction.row.get(name, 1.0) for name, hat in HATS.items()}
        return {**told, "pseudo": float(Nuisance(**columns).doubly_robust[0])}

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See medray.tasks.treatment.summary."""
        found = summarise(cases, self.options.trim, self.options.covariates, bootstrap)
        return {"task": self.name, "placebo": self.options.placebo, **found}

    def section(self, scores: ScoredCases) -> Section:
        """See medray.tasks.treatment.page."""
        return section_of_effects(super().section(scores), scores)

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """`y0`, `y1`, `effect` and `propensity`, with `observed0` and `observed1` where outcomes
        are lost; in the second stage the effect alone."""
        values = np.asarray(probabilities, np.float64)
        row = dict(zip(self.classes, map(float, values), strict=True))
        if self.options.pseudo:
            return row
        return {**row, "effect": row["y1"] - row["y0"]}


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise _bad_target(row, f"{name!r} holds no number")
    return float(value)


def _bad_target(row: Mapping[str, Any], why: str) -> DataError:
    return DataError(
        f"no usable target: {why}",
        code="bad-target",
        about=str(row.get("sample_id", "")),
        hint="check the task's columns; `dropouts: weigh` takes samples without an outcome",
    )
