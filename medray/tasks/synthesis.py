"""Synthesis: new samples like those that were learnt, class by class."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor

from medray.models.base import Answers
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions
from medray.tasks.labels.classes import class_of
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.silent import draws_only

DIRECTIONS = 64  # that samples are looked at from
SEED = 0  # of these


class Synthesis(Task):
    """What networks that draw samples learn. They say nothing of any sample that there is, so
    nothing is predicted or scored; `generate` says what the new ones are like.

    While it is learnt, as many samples are drawn as were held out, of the same classes, and the two
    are held against each other by the sliced Wasserstein distance (Rabin et al. 2011).
    """

    class Options(TaskOptions):
        """What can be chosen."""

        classes: tuple[str, ...] = Field((), description="classes 0, 1, …; none: all are alike")
        target: str = Field("target", description="column of a sample's class, by number or name")

    name: ClassVar[str] = "synthesis"
    answers: ClassVar[Answers] = "image"
    by_loss: ClassVar[bool] = False
    metric: ClassVar[str] = "val_sliced_wasserstein"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "sliced_wasserstein": Metric(
            "sliced Wasserstein distance", higher_is_better=False, digits=4, headline=True
        ),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task; one where all samples are alike."""
        return self.options.classes or ("sample",)

    @property
    def needs(self) -> Needs:
        """The classes, where there are some."""
        return Needs(columns=names(self.options.target) if self.options.classes else names())

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """Classes, int64 (samples,)."""
        if not self.options.classes:
            return torch.zeros(len(rows), dtype=torch.long)
        column, classes = self.options.target, self.classes
        found = [class_of(row.get(column), classes, row) for row in rows]
        return torch.tensor(found, dtype=torch.long)

    def probabilities(self, logits: Tensor) -> Tensor:
        """What was drawn is drawn."""
        return logits

    @property
    def columns(self) -> int:
        """A sample, and a drawn one, from all directions."""
        return 2 * DIRECTIONS

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Where both lie along every direction.

        Args:
            answer: a drawn sample, of any shape.
            truth: one that there is, of the same shape.
        """
        if truth is None:
            raise TypeError("a drawn sample is held against one that there is")
        along = _directions(prod(answer.shape))
        pair = np.stack([truth.reshape(-1), answer.reshape(-1)]).astype(np.float64)
        found: list[float] = (pair @ along).reshape(-1).tolist()
        return found

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_sliced_wasserstein`: the mean over directions of how far the samples have to move,
        in deviations of the normalised intensities."""
        there, drawn = (np.sort(part, 0) for part in np.split(table, 2, 1))
        return {"val_sliced_wasserstein": float(np.abs(there - drawn).mean())}

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_sliced_wasserstein"})

    def drawn(self, kind: int) -> dict[str, Any]:
        """Its target, by number."""
        return {self.options.target: kind} if self.options.classes else {}

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """See the class.

        Raises:
            SpecError: always (code "draws-only").
        """
        raise draws_only(self.name)

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See `score`."""
        raise draws_only(self.name)


@lru_cache(maxsize=4)
def _directions(size: int) -> np.ndarray:
    """Unit vectors, (size, directions), as far apart from each other as chance has it."""
    chance = np.random.Generator(np.random.Philox(key=SEED))
    drawn = chance.standard_normal((size, DIRECTIONS))
    unit: np.ndarray = drawn / np.linalg.norm(drawn, axis=0)
    return unit
