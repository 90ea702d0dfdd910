"""Risk: how likely an event is, calibrated on a validation."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from medray.errors import DataError
from medray.models.base import Answers, Logits
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.risk.calibration import Curve, Method, fitted
from medray.tasks.risk.metrics import statistics, summarise
from medray.tasks.risk.page import section_of_risks
from medray.tasks.risk.points import Points, options_of
from medray.tasks.section import ScoredCases, Section, Verdict

VALIDATED = ("auroc", "average_precision", "brier", "log_loss", "calibration_slope")


class Risk(Task):
    """Binary cross-entropy of an event; risks are calibrated on the validation.

    A network answers with two logits, as for two classes, and the risk is the second's share. What
    the validation chooses, the calibration curve and the cutoffs of operating points, stands in the
    model's package; of folds each network's is chosen by what the others held out.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        target: str = Field("target", description="column that says whether the event happened")
        classes: tuple[str, str] = Field(
            ("no", "yes"), description="values of it, or names of 0 and 1: no event, event"
        )
        above: float | None = Field(
            None, description="of a column of numbers: the event is a value above this"
        )
        calibration: Method = Field(
            "temperature",
            description="how risks are calibrated on the validation; none: not at all",
        )
        curve: tuple[float, ...] = Field(
            (), description="intercept and slope on the logit; of isotonic risks, then their "
            "values; empty: the validation says"
        )  # fmt: skip
        thresholds: tuple[float, ...] = Field((0.5,), description="operating points at these risks")
        sensitivities: tuple[float, ...] = Field(
            (), description="operating points that find such shares of events in the validation"
        )
        alert_rates: tuple[float, ...] = Field(
            (), description="operating points that alert such shares of cases in the validation"
        )
        cutoffs: tuple[float, ...] = Field(
            (), description="risks of the points of the last two; empty: the validation says"
        )

        @model_validator(mode="after")
        def _fits(self) -> Self:
            shares = (*self.thresholds, *self.sensitivities, *self.alert_rates)
            if not all(0 < one <= 1 for one in shares) or not shares:
                raise ValueError("operating points: at least one, each above 0 and at most 1")
            if self.classes[0] == self.classes[1]:
                raise ValueError("classes: two names that differ")
            wanted = len((*self.sensitivities, *self.alert_rates))
            if self.cutoffs and len(self.cutoffs) != wanted:
                raise ValueError("cutoffs: one for each of sensitivities and alert_rates")
            pair = self.calibration in ("platt", "temperature")
            if self.curve and (len(self.curve) != 2 if pair else len(self.curve) % 2):
                raise ValueError("curve: an intercept and a slope, or risks and as many values")
            return self

    name: ClassVar[str] = "risk"
    answers: ClassVar[Answers] = "sample"
    metric: ClassVar[str] = "val_log_loss"
    baseline: ClassVar[str] = "logistic"
    beside: ClassVar[tuple[str, ...]] = ("boosted-trees",)
    of_network: ClassVar[frozenset[str]] = frozenset({"curve", "cutoffs"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "auroc": Metric("AUROC", headline=True),
        "average_precision": Metric("average precision", headline=True),
        "brier": Metric("Brier score", higher_is_better=False, digits=4, headline=True),
        "log_loss": Metric("log loss", higher_is_better=False, digits=4),
        "calibration_slope": Metric("calibration slope", best=1.0, headline=True),
        "calibration_intercept": Metric("calibration intercept", best=0.0, headline=True),
        "net_benefit": Metric("net benefit", digits=4, headline=True),
        "sensitivity": Metric("sensitivity"),
        "specificity": Metric("specificity"),
        "ppv": Metric("PPV"),
        "npv": Metric("NPV"),
        "alert_rate": Metric("alerts", higher_is_better=False),
        "risk": Metric("risk", per_class=False),
        "event": Metric("event", kind="count", per_class=False),
        "error": Metric("error", higher_is_better=False, per_class=False),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self._curve = Curve(options.calibration, options.curve)
        self._points = Points(**options_of(options))

    @property
    def classes(self) -> tuple[str, ...]:
        """No event, event."""
        return self.options.classes

    @property
    def needs(self) -> Needs:
        """The column of the event."""
        return Needs(columns=names(self.options.target))

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """int64 (samples,): 1 where the event happened."""
        return torch.tensor([self._target(row) for row in rows], dtype=torch.long)

    def _target(self, row: Mapping[str, Any]) -> int:
        value, above = row.get(self.options.target), self.options.above
        if above is not None:
            if isinstance(value, bool) or not isinstance(value, int | float) or np.isnan(value):
                raise _bad_target(row, "the value is no number")
            return int(value > above)
        if isinstance(value, str) and value in self.classes:
            return self.classes.index(value)
        if isinstance(value, int | float) and value in (0, 1):
            return int(value)
        raise _bad_target(row, "the value is neither of the two classes")

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See Task: binary cross-entropy of the difference of the two logits."""
        scores = _difference(outputs if isinstance(outputs, Tensor) else outputs[0])
        return functional.binary_cross_entropy_with_logits(scores, target.float(), reduction="none")

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, 2): of no event and of the event, calibrated where a curve was chosen."""
        risks = self._curve.of_logits(_difference(logits))
        return torch.stack([1 - risks, risks], 1)

    @property
    def columns(self) -> int:
        """The risk."""
        return 1

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """The risk itself: metrics need all cases together."""
        return [float(answer[-1])]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_auroc`, `val_average_precision`, `val_brier`, `val_log_loss` and
        `val_calibration_slope`."""
        if targets is None or not len(table):
            return {f"val_{name}": float("nan") for name in VALIDATED}
        found = statistics(table[:, -1].astype(np.float64), targets == 1)(np.ones((1, len(table))))
        return {f"val_{name}": float(found[name][0]) for name in VALIDATED}

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset(f"val_{name}" for name in VALIDATED)

    @property
    def calibrates(self) -> bool:
        """See Task: a curve or cutoffs that are not given."""
        wanted = self.options.calibration != "none" and not self.options.curve
        return wanted or self._points.open

    def chosen_by(self, table: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """The calibration curve, and cutoffs on risks that it has calibrated."""
        risks, events = table[:, -1].astype(np.float64), (targets == 1).astype(np.float64)
        made: dict[str, Any] = {}
        curve = self._curve
        if not self.options.curve:
            numbers = fitted(self.options.calibration, risks, events)
            curve = Curve(self.options.calibration, numbers)
            made |= {"curve": list(numbers)} if numbers else {}
        if self._points.open:
            cutoffs = self._points.chosen(curve.of_risks(risks), events)
            made |= {"cutoffs": list(cutoffs)} if cutoffs else {}
        return made

    def describe(self) -> list[str]:
        """Calibration, and cutoffs that were chosen."""
        return [self._curve.describe(), *self._points.describe()]

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; a case without a prediction has the worst risk there is.

        Raises:
            DataError: the truth is no class ("bad-target"), or the risk no share of one
                ("nonfinite-output").
        """
        event = self._target(truth.row)
        risk, alerts = 1.0 - event, None
        if prediction is not None:
            risk = float(prediction.row["probability"][-1])
            alerts = prediction.row.get("alerts")
        if not 0 <= risk <= 1:
            raise DataError("a risk is outside 0…1", code="nonfinite-output", about=truth.id)
        return [
            {
                "status": "no-prediction" if prediction is None else "scored",
                "event": event,
                "risk": risk,
                "alerts": self._points.alerts(risk) if alerts is None else list(alerts),
                "error": abs(risk - event),
            }
        ]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See medray.tasks.risk.metrics; with cautions where risks are not calibrated."""
        found = {"task": self.name, **summarise(cases, self._points, bootstrap)}
        if not self.options.curve:
            found["cautions"] = [self._curve.describe()]
        return found

    def section(self, scores: ScoredCases) -> Section:
        """See medray.tasks.risk.page."""
        return section_of_risks(super().section(scores), scores, self.metrics, self.describe())

    def verdict(self, truth: Mapping[str, Any], answer: Mapping[str, Any] | None) -> Verdict | None:
        """What happened, and the risk that was told; an event without an alert is wrong, and an
        alert without one."""
        try:
            event = self._target(truth)
        except DataError:
            return None
        if answer is None:
            return Verdict(self.classes[event], "", wrong=False)
        risk, called = answer["probability"][-1], answer.get("predicted")
        told = f"risk {risk:.3f}" if called is None else f"{called}, risk {risk:.3f}"
        return Verdict(self.classes[event], told, called not in (None, self.classes[event]))

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """`probability` (2,), `risk`, `alerts` at each operating point, and `predicted`: the class
        by the first of them."""
        risk = float(probabilities[-1])
        alerts = self._points.alerts(risk)
        row: dict[str, Any] = {"probability": [float(value) for value in probabilities]}
        row |= {"risk": risk, "alerts": alerts}
        if alerts[0] is not None:
            row["predicted"] = self.classes[alerts[0]]
        return row


def _difference(logits: Tensor) -> Tensor:
    return logits[:, 1].float() - logits[:, 0].float()


def _bad_target(row: Mapping[str, Any], why: str) -> DataError:
    return DataError(
        f"no usable target: {why}",
        code="bad-target",
        about=str(row.get("sample_id", "")),
        hint="check the task's `target`, `classes` and `above`",
    )
