"""Summaries: which words of a text make its summary."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medray.formats.documents.columns import EXTRACT
from medray.models.base import Answers
from medray.tasks.base import NO_LABEL
from medray.tasks.metric import Metric
from medray.tasks.text.summarising import Summarising, SummaryOptions, shared_words

THRESHOLDS = np.arange(1, 20) / 20


class Summary(Summarising):
    """Binary cross-entropy of each word of a text: whether its summary has it.

    The n-th time that a word comes is taken if the summary has it n times. What the plan keeps as
    `frequencies` is how many tokens a training text has in the mean, by which losses are divided.
    """

    class Options(SummaryOptions):
        """What can be chosen."""

        threshold: float | None = Field(
            None, gt=0, lt=1, description="from which a word is taken; null: the validation says"
        )

    name: ClassVar[str] = "summary"
    answers: ClassVar[Answers] = "extract"
    metrics: ClassVar[Mapping[str, Metric]] = {
        **Summarising.metrics,
        "threshold": Metric("threshold"),
    }
    answered: ClassVar[str] = EXTRACT

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options: Summary.Options = options
        self._tokens = frequencies[0] if frequencies else 1.0

    @property
    def classes(self) -> tuple[str, ...]:
        """One answer for each word."""
        return ("taken",)

    @property
    def threshold(self) -> float:
        """From which a word is taken."""
        return 0.5 if self.options.threshold is None else self.options.threshold

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Tokens of a text in the mean.

        Args:
            values: tokens of each training text.
        """
        return (max(1.0, float(values.mean())),)

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """See Task.

        Args:
            outputs: logits (B, 1, L).
            target: uint8 (B, L), 1 of a word that is taken; NO_LABEL of what is no word, and behind
                a text's end.
        """
        known = target != NO_LABEL
        wanted = torch.where(known, target, 0).float()
        nats = functional.binary_cross_entropy_with_logits(
            outputs[:, 0].float(), wanted, reduction="none"
        )
        each: Tensor = (nats * known).sum(1) / self._tokens
        return each

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of each word to be taken."""
        return logits.float().sigmoid()

    @property
    def columns(self) -> int:
        """ROUGE-1 at each threshold."""
        return len(THRESHOLDS)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """ROUGE-1 of the words that each threshold takes.

        Args:
            answer: probabilities (1, L).
            truth: int (2, L + 1): number of each token's word, 0 of what is none, and how often the
                reference has it; last the length of the reference.
        """
        if truth is None:
            return [0.0] * len(THRESHOLDS)
        kinds, there = truth[0, :-1], truth[1, :-1]
        made = []
        for threshold in THRESHOLDS:
            taken = np.flatnonzero((answer[0, : len(kinds)] >= threshold) & (kinds > 0))
            both = len(taken) + int(truth[1, -1])
            made.append(2 * shared_words(kinds, taken, there) / both if both else 0.0)
        return made

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_rouge1` at the threshold that is best, and `val_threshold`, that one."""
        means = table.mean(0)
        best = int(means.argmax())
        return {"val_rouge1": float(means[best]), "val_threshold": float(THRESHOLDS[best])}

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_rouge1", "val_threshold"})

    @property
    def calibrates(self) -> bool:
        """See Task: a threshold that the job does not give."""
        return self.options.threshold is None

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The threshold, by the validation, unless the job gives it."""
        if self.options.threshold is not None or "val_threshold" not in metrics:
            return {}
        return {"threshold": round(metrics["val_threshold"], 4)}

    def describe(self) -> list[str]:
        """The threshold."""
        return [f"words are taken from a probability of {self.threshold:g} on"]
