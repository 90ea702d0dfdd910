"""What rows of a network's tables stand for, and vectors of words by something else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from safetensors.numpy import load, save

from medray.errors import SpecError
from medray.spec.training import WordVectors

Rows: TypeAlias = Mapping[str, Sequence[str]]
SPECIAL = "\0"  # begins what no word is: fillings, the unknown


@dataclass(frozen=True)
class Vectors:
    """Rows of a network's table of words.

    Args:
        tensor: of the network, by its name.
        rows: of it, int64 (n,).
        values: what stands in these, float32 (n, width).
        words: how many of its rows are words.
        source: name of the file that they are of.
    """

    tensor: str
    rows: np.ndarray
    values: np.ndarray
    words: int
    source: str

    def encode(self) -> bytes:
        """As safetensors."""
        told = json.dumps([self.tensor, self.words, self.source]).encode()
        made: bytes = save(
            {"rows": self.rows, "values": self.values, "told": np.frombuffer(told, np.uint8)}
        )
        return made

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """What `encode` made."""
        found = load(data)
        tensor, words, source = json.loads(found["told"].tobytes())
        return cls(tensor, found["rows"], found["values"], words, source)


class Worded:
    """The part of a modality that knows what the rows of its networks' tables stand for."""

    name: ClassVar[str]

    def rows(self, plan: Any) -> Rows:
        """What rows of its networks' tensors stand for, words for one, by the tensors' names; of
        another network such rows are taken over by what they stand for. By default nothing."""
        return {}

    def vectors(self, chosen: WordVectors, plan: Any) -> Vectors:
        """Pretrained vectors of the words that its networks read.

        Raises:
            SpecError: they read none (code "no-words"), or the file is of no use.
        """
        raise SpecError(
            f"networks of samples of kind {self.name!r} read no words",
            code="no-words",
            about="train.init_from.vectors",
            hint="leave it out; other networks begin with a model",
        )
