"""The contract of a wire: which bodies a model's requests may have, and what its answers are.

A wire knows a model by its plan, as the package holds it, and loads neither torch nor weights: the
process that holds the lines to clients asks it what to tell them.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.modalities.arrow import write_rows
from medray.modalities.media import ARROW, JSON, NPY, npy_of
from medray.storage.shards.samples import Sample


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Args:
        decoded_bytes: of all samples of a body, once decoded.
    """

    decoded_bytes: int


@dataclass(frozen=True)
class Asked:
    """What a body holds.

    Args:
        samples: as ingest would have made them; their ids are distinct.
        many: whether the answer is a list, whatever its length.
    """

    samples: list[Sample]
    many: bool = False


@dataclass(frozen=True)
class Answer:
    """What a model says of one sample.

    Args:
        id: of the sample.
        asked: its row, as it was asked.
        columns: JSON-able values, where the answer is a row.
        arrays: by name, where it is an array.
    """

    id: str
    asked: dict[str, Any]
    columns: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Wire(ABC):
    """Bodies of requests to samples, and answers to bodies, for one model.

    Args:
        plan: of the model, as its package holds it; of folds, the first one's.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan

    @property
    def places(self) -> bool:
        """Whether answers are arrays: one value for each place of a sample."""
        return bool(self.plan["answers"] == "place")

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a request may ask for by `?outputs=`, beside what the endpoint is set to."""
        return ()

    @property
    @abstractmethod
    def samples(self) -> str:
        """What the model takes, in a few words for people."""

    @property
    @abstractmethod
    def takes(self) -> dict[str, dict[str, Any]]:
        """JSON schema of a body by its media type; the first is the one to show as an example."""

    @abstractmethod
    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """The samples of a body, of a media type that it takes.

        Raises:
            DataError: it is unusable. Nothing of it is quoted, and no memory is taken beyond the
                limits: codes of `media.TOO_LARGE`.
        """

    @property
    def answer(self) -> dict[str, Any]:
        """JSON schema of an answer in JSON, to one sample."""
        values = {"description": "and what the task says: `predicted`, `probability`, an array"}
        return {
            "type": "object",
            "required": ["model"],
            "properties": {"model": {"type": "string", "description": "name@version"}},
            "additionalProperties": values,
        }

    def gives(self, media: str) -> tuple[str, ...]:
        """Media types of the answer to a body of type `media`, the preferred one first."""
        if media == ARROW:
            return (ARROW,)
        return (JSON, NPY) if self.places else (JSON,)

    def write(self, model: str, answers: Sequence[Answer], media: str, *, many: bool) -> bytes:
        """The body of an answer.

        Args:
            model: reference.
            answers: one, unless `many`.
            media: one of what it gives.
            many: as the question had it.

        Raises:
            DataError: what was asked cannot be written so.
        """
        if media == ARROW:
            return write_rows(
                [{"sample_id": one.id, "model": model, **_row(one)} for one in answers]
            )
        if media == JSON and many:
            listed = [{"sample_id": one.id, **_document(one)} for one in answers]
            return json.dumps({"model": model, "answers": listed}).encode()
        (one,) = answers
        if media == JSON:
            return json.dumps({"model": model, **_document(one)}).encode()
        if not one.arrays:
            raise DataError(
                "the answer is no array", code="not-acceptable", hint=f"offered: {JSON}"
            )
        (values,) = one.arrays.values()
        return self.encode(one, values, media)

    def encode(self, answer: Answer, values: np.ndarray, media: str) -> bytes:
        """An answer's array as a file of its own."""
        return npy_of(values)


def _document(answer: Answer) -> dict[str, Any]:
    if answer.arrays:
        return {name: values.tolist() for name, values in answer.arrays.items()}
    return answer.columns


def _row(answer: Answer) -> dict[str, Any]:
    if not answer.arrays:
        return answer.columns
    ((name, values),) = answer.arrays.items()
    values = np.ascontiguousarray(values)
    return {name: values.tobytes(), "shape": values.shape, "dtype": str(values.dtype)}


def distinct(samples: list[Sample]) -> list[Sample]:
    """The samples, if no two have one id.

    Raises:
        DataError: two have (code "repeated-id").
    """
    if len({one.id for one in samples}) < len(samples):
        raise DataError("sample ids are not distinct", code="repeated-id")
    return samples
