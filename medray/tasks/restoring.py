"""What tasks add to the contract that hide a part of samples and have networks restore it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from torch import Tensor

from medray.models.base import Answers
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.silent import restores_only


class RestoringTask(Task):
    """A task without labels: what is to be learnt is the sample itself.

    Targets of a batch are `image`, what the sample was, (B, C, *space), and `hidden`, bool
    (B, 1, *space). Nothing is predicted or scored: such a model is there to begin with.
    """

    answers: ClassVar[Answers] = "restored"
    over: ClassVar[frozenset[str]] = frozenset({"space"})

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is what the network does not see."""
        return None

    @abstractmethod
    def hidden(self, shape: Sequence[int], seed: int) -> np.ndarray:
        """What is hidden of a patch of `shape` (*space), bool; a function of `seed`.

        Raises:
            SpecError: so small a patch can't be hidden in parts.
        """

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """See the class.

        Raises:
            SpecError: always (code "restores-only").
        """
        raise restores_only(self.name)

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See `score`."""
        raise restores_only(self.name)
