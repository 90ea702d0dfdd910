"""Prediction sets of a classification: the classes that a case may still be of, at a level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.tasks.metric import Metric
from medray.tasks.metrics.conformal import least
from medray.tasks.section import Rows, Table


@dataclass(frozen=True)
class PredictionSets:
    """How sets are made.

    Args:
        classes: names.
        level: share of new cases of each class whose set shall hold it; None: there are no sets.
        least: probability that brings each class into a set; empty: nobody has said.
    """

    classes: Sequence[str]
    level: float | None
    least: Sequence[float]

    @property
    def names(self) -> list[str]:
        """What the validation calls the least probability of each class."""
        return [] if self.level is None else [f"val_least_{one}" for one in self.classes]

    def judged(self, table: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """What the validation says of each class.

        Args:
            table: probabilities, (cases, classes).
            truth: classes, (cases,).
        """
        found = [] if self.level is None else least(table, truth, self.level)
        return dict(zip(self.names, found, strict=True))

    def chosen(self, metrics: Mapping[str, float]) -> dict[str, Any]:
        """See Task."""
        found = [metrics[name] for name in self.names if name in metrics]
        return {"least": found} if found and not self.least else {}

    def of(self, probabilities: Sequence[float]) -> list[str]:
        """The set of a case."""
        pairs = zip(self.classes, probabilities, self.least, strict=True)
        return [name for name, value, limit in pairs if value >= limit]

    def score(self, target: np.ndarray, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the set of an answer holds the truth, and its size; nothing where it has none.

        Args:
            target: class, (1,).
            answer: row of the prediction.
        """
        held = answer.get("prediction_set")
        if held is None:
            return {}
        return {"covered": self.classes[int(target[0])] in held, "set_size": len(held)}

    def describe(self) -> list[str]:
        """See Task."""
        if not self.least:
            return []
        pairs = zip(self.classes, self.least, strict=True)
        told = ", ".join(f"{name} from {value:.4g} on" for name, value in pairs)
        return [f"prediction sets that shall hold {self.level:g} of each class: {told}"]

    def defined(self) -> list[str]:
        """What a page says of them at its foot."""
        meant = "of new cases of each class, where these are like the validation's"
        return [f"A prediction set shall hold {self.level:g} {meant}."] if self.least else []

    def tables(self, cases: Rows) -> list[Table]:
        """How many cases of each class are of which set, and in how many it is held.

        Args:
            cases: rows of scores.
        """
        told = [row for row in cases if row.get("covered") is not None]
        if not told:
            return []
        columns = {
            "class": Metric("truth", kind="text"),
            "cases": Metric("cases", kind="count"),
            "covered": Metric("in the set"),
            "alone": Metric("and alone in it"),
            "empty": Metric("empty sets", kind="count"),
        }
        rows = []
        for at, name in enumerate(self.classes):
            own = [row for row in told if row["actual"][at] == 1]
            held = [row for row in own if row["covered"]]
            alone = sum(row["set_size"] == 1 for row in held)
            row = {"class": name, "cases": len(own), "covered": None, "alone": None}
            row["empty"] = sum(row["set_size"] == 0 for row in own)
            if own:
                row |= {"covered": len(held) / len(own), "alone": alone / len(own)}
            rows.append(row)
        lead = f"{self.level:g} of each class are to be in their set." if self.level else ""
        return [Table(columns, rows, title="Prediction sets", lead=lead)]
