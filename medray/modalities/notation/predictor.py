"""How a model of line notations answers: how likely a text is."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch

from medray.modalities.ask import ask
from medray.modalities.base import Answering, Precision
from medray.modalities.notation.cases import filled
from medray.modalities.notation.plan import NotationPlan
from medray.modalities.notation.tokens import Codec
from medray.models.base import Network
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored
from medray.tasks.base import Task


def judged(
    network: Network,
    given: np.ndarray,
    following: np.ndarray,
    task: Task,
    device: torch.device,
    precision: Precision,
) -> Iterator[list[float]]:
    """A row of `Task.judge` for each text; of `given` and `following` see NotationCases.take."""
    tokens = torch.from_numpy(given).to(device)
    for answer, truth in zip(ask(network, tokens, task, precision), following, strict=True):
        yield task.judge(answer, truth)


class NotationPredictor(Answering):
    """How a model of line notations answers."""

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The sample's row with its tokens uint8 (tokens,) as array `tokens`."""
        plan = cast("NotationPlan", self.trained.plan)
        tokens = Codec(plan.classes).encode(stored.row.get(plan.column))
        return Sample(stored.id, dict(stored.row), {"tokens": tokens})

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """What the task judges of each text, float64 (B, columns)."""
        texts = [np.asarray(sample.arrays["tokens"]).tolist() for sample in samples]
        given, following = filled([(text, True) for text in texts])
        trained = self.trained
        rows = judged(
            trained.network, given, following, trained.task, trained.device, self.asked.precision
        )
        return np.array(list(rows))
