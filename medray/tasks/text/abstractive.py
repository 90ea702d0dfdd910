"""Summaries that are written: token by token, from a vocabulary or out of the text."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from medray.formats.documents.columns import GENERATED
from medray.models.base import Answers
from medray.tasks.text.summarising import Summarising, SummaryOptions, shared_words


class AbstractiveSummary(Summarising):
    """The mean negative log-likelihood of a reference's tokens, each given those before it, and of
    how much attention falls again where it has been (coverage loss, See et al. 2017)."""

    class Options(SummaryOptions):
        """What can be chosen."""

        coverage: float = Field(
            1.0, ge=0, description="weight of attention that falls where it has been"
        )

    name: ClassVar[str] = "abstractive-summary"
    answers: ClassVar[Answers] = "generated"
    answered: ClassVar[str] = GENERATED

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options: AbstractiveSummary.Options = options

    @property
    def classes(self) -> tuple[str, ...]:
        """One answer for each place of the summary."""
        return ("token",)

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """None: a loss is a mean over the tokens of its own reference."""
        return ()

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """See Task.

        Args:
            outputs: `log_probability` and `coverage`, (B, T), 0 of what is not learnt.
            target: how many tokens are learnt of each reference, (B,).
        """
        each = self.options.coverage * outputs["coverage"] - outputs["log_probability"]
        loss: Tensor = each.float().sum(1) / target.clamp(min=1)
        return loss

    def probabilities(self, logits: Tensor) -> Tensor:
        """Tokens, as they are."""
        return logits

    @property
    def columns(self) -> int:
        """ROUGE-1."""
        return 1

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """ROUGE-1 of what was written; a token counts as one word, or as none.

        Args:
            answer: tokens, (T,).
            truth: int (2, tokens + 1): number of each token's word, 0 of what is none and of the
                end, and how often the reference has it; last the length of the reference.
        """
        if truth is None:
            return [0.0]
        kinds, there = truth[0, :-1], truth[1, :-1]
        ends = np.flatnonzero(answer == 0)
        found = answer[: ends[0] if len(ends) else None].astype(np.int64)
        taken = found[kinds[found] > 0]
        both = len(taken) + int(truth[1, -1])
        return [2 * shared_words(kinds, taken, there) / both if both else 0.0]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_rouge1`, of what is written without the reference."""
        return {"val_rouge1": float(table[:, 0].mean())}

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_rouge1"})

    def describe(self) -> list[str]:
        """That numbers are the text's."""
        return ["numbers of a summary are copied from its text; all else may be made up"]
