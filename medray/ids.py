"""Identities: canonical JSON and the hashes made of it.

A unit, a run, a version and a dataset's content are each named by a SHA-256 over canonical JSON,
cut to 32 hex digits (128 bits) where it stands in a path.
"""

import hashlib
import json
import secrets
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

ID_DIGITS = 32
RUN_DIGITS = 12  # of the ids of jobs and runs, which people type


def canonical(value: Any) -> bytes:
    """Encode `value` as JSON with sorted keys and no spaces; NaN and unknown types are refused."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True
    ).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def short(value: Any) -> str:
    """The first 32 hex digits of `digest(value)`: the form used in paths."""
    return digest(value)[:ID_DIGITS]


def unit_id(operation: str, parameters: Any, inputs: Iterable[str], model: str = "") -> str:
    """Identity of a unit of work: equal work has an equal id, on any machine, in any run.

    Args:
        operation: name of the operation with its format, e.g. "ingest/nifti".
        parameters: everything that changes the output, JSON-able.
        inputs: digests or fingerprints of the inputs, in order.
        model: digest of the model package, empty where there is none.
    """
    return short(
        {"operation": operation, "parameters": parameters, "inputs": list(inputs), "model": model}
    )


def attempt_id() -> str:
    """A random name for one attempt: 12 hex digits."""
    return secrets.token_hex(6)


def fraction(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on `seed` and `key` alone; used for splits."""
    raw = hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:8]
    return int.from_bytes(raw, "big") / 2**64


class Distinct:
    """Which texts came before: those in order take 8 bytes each to know, others 60."""

    def __init__(self) -> None:
        self._ordered: list[str] = []
        self._others: set[str] = set()

    def add(self, text: str) -> bool:
        """Whether it is new."""
        ordered = self._ordered
        if not ordered or text > ordered[-1]:
            ordered.append(text)
            return True
        if ordered[bisect_left(ordered, text)] == text or text in self._others:
            return False
        self._others.add(text)
        return True
