"""Rewards by another model: what it answers to samples that were drawn a moment ago."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medray.errors import DataError, SpecError
from medray.modalities.base import Asking
from medray.modalities.loaded import load_trained
from medray.modalities.media import JSON
from medray.modalities.wire import Limits
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects

LIMITS = Limits(decoded_bytes=2**30)


class Answers:
    """A trained model, asked as an endpoint asks it: samples come by its wire.

    Args:
        objects: the storage root.
        reference: of the model.
        target: which of its classes or values; None: the last.
        between: answers that are worth 0 and 1.

    Raises:
        SpecError: it has no such answer (code "no-such-answer"), or is no model of whole samples
            (code "objective-mismatch").
    """

    def __init__(
        self, objects: Objects, reference: str, target: str | None, between: tuple[float, float]
    ) -> None:
        trained = load_trained(objects, reference)
        self._wire = trained.modality.wire(trained.plan.model_dump(mode="json"))
        if trained.task.answers != "sample" or JSON not in self._wire.takes:
            raise SpecError(
                "the model has no number to answer such a sample with",
                code="objective-mismatch",
                about=reference,
                hint="take a model of molecules, of classification or regression",
            )
        classes = trained.plan.classes
        if target is not None and target not in classes:
            raise SpecError(
                f"the model has no answer {target!r}",
                code="no-such-answer",
                about=reference,
                hint=f"one of {', '.join(classes)}",
            )
        self._column = len(classes) - 1 if target is None else classes.index(target)
        self._between = between
        asking = Asking(trained.modality.PredictOptions())
        self._predictor = trained.modality.predictor(trained, asking)

    def worth(self, asked: Sequence[dict[str, Any] | None]) -> Tensor:
        """What samples are worth, float32 (samples,); 0 of None, and of what the model refuses.

        Args:
            asked: as requests in JSON have them.

        Raises:
            SpecError: it takes other samples altogether (code "objective-mismatch").
        """
        worth = np.zeros(len(asked), np.float32)
        given = {str(at): {**one, "sample_id": str(at)} for at, one in enumerate(asked) if one}
        samples = self._read(list(given.values()))
        if samples:
            prepared = [self._predictor.prepare(InMemory(one), 1) for one in samples]
            answers = self._predictor.answers(prepared)[:, self._column]
            low, high = self._between
            rows = [int(one.id) for one in samples]
            worth[rows] = np.clip((answers - low) / (high - low), 0, 1)
        return torch.from_numpy(worth)

    def _read(self, asked: list[dict[str, Any]]) -> list[Sample]:
        """Together; where one is refused, one by one."""
        if not asked:
            return []
        try:
            return self._wire.read(json.dumps(asked).encode(), JSON, LIMITS).samples
        except DataError as error:
            if error.code == "bad-json":
                raise SpecError(
                    "the model that is to reward them takes other samples than these",
                    code="objective-mismatch",
                    about="model",
                    hint=f"it takes {self._wire.samples}",
                ) from error
            return [] if len(asked) == 1 else [one for each in asked for one in self._read([each])]
