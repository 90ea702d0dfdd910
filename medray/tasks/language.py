"""Language: which token comes next in a text, from the first to the end."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from torch import Tensor
from torch.nn import functional

from medray.models.base import Answers, Logits
from medray.storage.shards.samples import Sample
from medray.tasks.base import NO_LABEL, Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap, subjects

LEAST = 1e-30  # probability of a token at least, so that its logarithm is finite


class Language(Task):
    """The log-likelihood of texts.

    What the plan keeps as `frequencies` is how many tokens a training text has in the mean, by
    which losses are divided: so the loss of a batch is in nats a token, and each token weighs the
    same, in whatever text it stands.
    """

    Options: ClassVar[type[TaskOptions]] = TaskOptions
    name: ClassVar[str] = "language"
    answers: ClassVar[Answers] = "text"
    metric: ClassVar[str] = "val_nats"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "nats": Metric("nats a token", higher_is_better=False, digits=4, headline=True),
        "perplexity": Metric("perplexity", higher_is_better=False, headline=True, per_case=False),
        "exact": Metric("texts given back token by token"),
        "unknown": Metric(
            "texts with tokens that were not learnt", higher_is_better=False, kind="count"
        ),
        "tokens": Metric("tokens", kind="count"),
    }

    def __init__(self, options: TaskOptions, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self._tokens = frequencies[0] if frequencies else 1.0

    @property
    def classes(self) -> tuple[str, ...]:
        """One answer; which tokens there are only the data know."""
        return ("text",)

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is the text itself."""
        return None

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Tokens of a text in the mean.

        Args:
            values: tokens of each training text.
        """
        return (float(values.mean()),)

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See Task.

        Args:
            outputs: logits (B, vocabulary, L).
            target: tokens (B, L); NO_LABEL behind a text's end.
        """
        logits = (outputs if isinstance(outputs, Tensor) else outputs[0]).float()
        wanted = target.long()
        nats = functional.cross_entropy(logits, wanted, ignore_index=NO_LABEL, reduction="none")
        return nats.sum(1) / self._tokens

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the vocabulary."""
        return logits.float().softmax(1)

    @property
    def columns(self) -> int:
        """Nats, tokens, and whether each token is the likeliest."""
        return 3

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Nats of a text, its tokens, and whether each of these is the likeliest behind those
        before it, as an autoencoder gives it back. No tokens of a text that was not learnt.

        Args:
            answer: probabilities (vocabulary, L).
            truth: tokens (L,), NO_LABEL behind the text's end.
        """
        labels = np.zeros(0, np.int64) if truth is None else truth.astype(np.int64)
        there = np.flatnonzero(labels != NO_LABEL)
        found = np.maximum(answer[labels[there], there].astype(np.float64), LEAST)
        exact = len(there) and (answer[:, there].argmax(0) == labels[there]).all()
        return [float(-np.log(found).sum()), float(len(there)), float(exact)]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_nats` a token, over the tokens of all texts, `val_perplexity`, the share of texts
        whose every token is the likeliest, and how many could not be judged."""
        nats, tokens, exact = table.sum(0)
        mean = float(nats / tokens) if tokens else float("nan")
        return {
            "val_nats": mean,
            "val_perplexity": float(np.exp(mean)),
            "val_exact": float(exact / len(table)),
            "val_unknown": float((table[:, 1] == 0).sum()),
        }

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_nats", "val_perplexity", "val_exact", "val_unknown"})

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """`nats` a token and `tokens`.

        Args:
            probabilities: what `judge` gave.
        """
        nats, tokens, _ = (float(one) for one in probabilities)
        return {"nats": nats / tokens, "tokens": int(tokens)}

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; a text without a prediction has a token that was not learnt."""
        if prediction is None:
            return [{"status": "no-prediction", "nats": None, "tokens": None}]
        row = {name: prediction.row[name] for name in ("nats", "tokens")}
        return [{"status": "scored", **row}]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """Nats a token over the tokens of all texts that were answered; see Task."""
        nats, tokens = (
            cases[name].cast(pa.float64()).fill_null(0.0).to_numpy() for name in ("nats", "tokens")
        )
        owners, judged = subjects(cases), tokens > 0

        def mean(weights: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore"):
                found: np.ndarray = weights @ (nats * tokens) / (weights @ tokens)
            return found

        estimates = {
            "nats": bootstrap.estimate(mean, len(cases), owners, judged),
            "perplexity": bootstrap.estimate(lambda w: np.exp(mean(w)), len(cases), owners, judged),
        }
        statuses = cases["status"].to_pylist()
        return {
            "task": self.name,
            "cases": len(cases),
            "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
            "metrics": {name: one.to_dict() for name, one in estimates.items()},
        }
