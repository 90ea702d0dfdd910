"""How a model of events answers: a row each."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from medray.errors import DataError
from medray.modalities.ask import ask
from medray.modalities.base import Answering
from medray.modalities.ehr.cases import batched
from medray.modalities.ehr.plan import CODES, HOURS, RecordPlan
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored


class RecordPredictor(Answering):
    """How a model of events answers."""

    @property
    def plan(self) -> RecordPlan:
        """Of the model's training."""
        return cast("RecordPlan", self.trained.plan)

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The row and the events."""
        for name in (CODES, HOURS):
            if name not in stored.names:
                raise DataError(
                    f"the sample has no array {name!r}",
                    code="model-mismatch",
                    about=stored.id,
                    hint="this network takes sequences, as the transform `cohort` makes them",
                )
        arrays = {name: np.asarray(stored.array(name)[...]) for name in (CODES, HOURS)}
        return Sample(stored.id, dict(stored.row), dict(arrays))

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        trained = self.trained
        events = [
            {name: np.asarray(sample.arrays[name]) for name in (CODES, HOURS)} for sample in samples
        ]
        inputs = batched(events, self.plan, trained.device)
        return ask(trained.network, dict(inputs), trained.task, self.asked.precision)
