"""How a model of tables answers: a row each, and what each modality is worth."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from medray.errors import DataError
from medray.modalities.ask import ask
from medray.modalities.base import Answering, Asking, Trained
from medray.modalities.lot import Lot
from medray.modalities.table.plan import TablePlan
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored


class TablePredictor(Answering):
    """How a model of tables answers.

    Of several modalities, `without` holds the answer when each of them is hidden: what it is worth.
    """

    def __init__(self, trained: Trained, asked: Asking) -> None:
        super().__init__(trained, asked)
        self._plan = cast("TablePlan", trained.plan)
        self._scalers = self._plan.scalers()
        self._blend = [trained.baseline(kind) for kind in self._plan.blend]

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The sample's row, and its features float32 (features,), standardised."""
        there, parts = stored.names, []
        for name, width in self._plan.widths.items():
            values = np.full(width, np.nan, np.float32)
            if name in there:
                values = stored.array(name)[...].astype(np.float32)
            if values.shape != (width,):
                raise DataError(
                    f"{name!r} of {values.shape} for a model of {width} features",
                    code="model-mismatch",
                    about=stored.id,
                    hint="select samples like those the model was trained on",
                )
            parts.append(self._scalers[name].apply(values[None])[0])
        return Sample(stored.id, dict(stored.row), {"features": np.concatenate(parts)})

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """Of all modalities, and behind it, without each of them: (B, 1 + hidden, classes)."""
        whole = np.stack([np.asarray(sample.arrays["features"]) for sample in samples])
        made = [self._answer(whole)]
        widths = list(self._plan.widths.values())
        for at, width in enumerate(widths if len(widths) > 1 else []):
            less = whole.copy()
            less[:, sum(widths[:at]) :][:, :width] = np.nan
            made.append(self._answer(less))
        return np.stack(made, 1)

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor; of all modalities together."""
        whole: np.ndarray = super().of_shard(lot)[:, 0]
        return whole

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """See Answering."""
        made = super().finish(sample, answer[0])
        if len(answer) > 1:
            names = list(self._plan.widths)
            made.row["without"] = {
                name: less.tolist() for name, less in zip(names, answer[1:], strict=True)
            }
        return made

    def _answer(self, features: np.ndarray) -> np.ndarray:
        trained = self.trained
        inputs = torch.from_numpy(features).to(trained.device)
        answers = ask(trained.network, inputs, trained.task, self.asked.precision)
        if not self._blend:
            return answers
        columns = np.nan_to_num(features)
        made: np.ndarray = np.mean(
            [answers, *(one.answers(columns) for one in self._blend)], axis=0
        )
        return made
