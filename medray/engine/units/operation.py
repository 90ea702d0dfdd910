"""The contract of an operation: how one unit's inputs become one unit's samples.

An operation knows nothing of ledgers, attempts, Ray or time. The worker (`worker`)
calls `load` ahead of time on one thread and `compute` under a lock on another, catches
`DataError` per input, writes what comes out, and commits.
"""

import json
from abc import ABC, abstractmethod
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medray.registry import load
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.store.objects import Objects


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time; it commits exactly one shard.

    Args:
        id: identity (medray.ids.unit_id): equal work, equal id.
        index: position in the plan, which is the order of the dataset.
        inputs: accountable keys, in order; each ends committed or quarantined.
        payload: what `load` needs: paths, or an input shard. Never pixels. JSON-able, but for bytes
            and arrays of 64 bits.
    """

    id: str
    index: int
    inputs: tuple[str, ...]
    payload: dict[str, Any]

    def as_text(self) -> str:
        """As it travels to another process."""
        return json.dumps(vars(self), default=_packed)

    @classmethod
    def of_text(cls, text: str) -> "Unit":
        """A unit that travelled."""
        fields = json.loads(text, object_hook=_unpacked)
        return cls(**{**fields, "inputs": tuple(fields["inputs"])})


def _packed(value: "bytes | array[int]") -> dict[str, str]:
    kind = "bytes:" if isinstance(value, bytes) else "int64:"
    return {kind: b64encode(value).decode()}


def _unpacked(fields: dict[str, Any]) -> Any:
    match fields:
        case {"bytes:": data}:
            return b64decode(data)
        case {"int64:": data}:
            return array("q", b64decode(data))
    return fields


class Operation(ABC):
    """One kind of work. Built once per worker, used for many units, one at a time.

    Args:
        objects: the storage root, to read inputs from.
        parameters: of the resolved step, JSON-able.
    """

    name: ClassVar[str]
    device: ClassVar[bool] = False  # computes on a device that units take in turn, reading ahead

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        self.objects = objects
        self.parameters = parameters

    @property
    def batch(self) -> int:
        """How many samples `compute` takes at once."""
        return 1

    def lazy(self, unit: Unit) -> bool:
        """Whether `load` only names samples, refuses none, and `compute` reads them."""
        return False

    @property
    def arrays(self) -> Arrays:
        """Every array that output samples may have, by name; none by default. Asked once opened."""
        return {}

    def open(self) -> None:  # noqa: B027 - optional
        """Prepare what is costly and shared by all units, such as a network's weights."""

    def described(self, unit: Unit, refusal: Refusal) -> Refusal:
        """A refusal with what is known of its input: of how many raw files, and of which."""
        return refusal

    @abstractmethod
    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """Read one input. Runs on a reading thread, possibly ahead of the unit before.

        Raises:
            DataError: the input is unusable; it is quarantined under `key`.
        """

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample | Rows]:
        """Map samples to output samples; holds the worker's device lock until exhausted.

        Arrays of what it yields may be `Slabs`, produced while the writer consumes them; many
        samples without arrays may come at once, as `Rows`.

        Raises:
            DataError: one of the samples is unusable. With several samples the worker then calls
                again, one by one, so that only the bad one is quarantined.
        """
        yield from samples


def operation_of(target: str) -> type[Operation]:
    """The operation that "module:Class" names.

    Raises:
        SpecError: a library that it stands on is not installed (code "missing-extra").
    """
    kind: type[Operation] = load(target, target)
    return kind
