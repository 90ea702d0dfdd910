"""Vectors of words that something else has learnt, as far as a network has such words."""

import json
from dataclasses import dataclass
from typing import Self

import numpy as np
from safetensors.numpy import load, save

from medray.errors import SpecError


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


def no_words(modality: str) -> SpecError:
    """What is said of vectors for networks that read no words."""
    return SpecError(
        f"networks of samples of kind {modality!r} read no words",
        code="no-words",
        about="train.init_from.vectors",
        hint="leave it out; other networks begin with a model",
    )
