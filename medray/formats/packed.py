"""The inputs of a unit as bytes: what travels to a worker, and what the unit's identity is made of.

As objects an input takes about a kilobyte, and a plan has millions; packed it takes some 50 bytes.
"""

import json
from array import array
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

import pyarrow as pa

from medray.formats.base import Input
from medray.ids import canonical

CODEC = "zstd"


def pack(items: Sequence[Input]) -> tuple[str, dict[str, Any]]:
    """The inputs of one unit.

    Returns:
        A hash of all but the stamps, and what a unit's payload has of them: `inputs`, packed;
        `length`, unpacked; `bytes` and `stamps` of each, as arrays of 64 bits.
    """
    fields = [(one.key, one.paths, one.fingerprint, one.size, one.extra) for one in items]
    data = canonical(fields)
    return sha256(data).hexdigest(), {
        "inputs": pa.compress(data, codec=CODEC, asbytes=True),
        "length": len(data),
        "bytes": array("q", [one.size for one in items]),
        "stamps": array("q", [one.stamp for one in items]),
    }


def unpack(payload: dict[str, Any]) -> dict[str, Input]:
    """The inputs of a unit by key, in order; not to be changed."""
    return _unpack(payload["inputs"], payload["length"], payload["stamps"].tobytes())


@lru_cache(4)  # of the units at hand: each is asked for input by input
def _unpack(data: bytes, length: int, stamps: bytes) -> dict[str, Input]:
    fields = json.loads(pa.decompress(data, length, codec=CODEC, asbytes=True))
    known = array("q", stamps)
    return {
        key: Input(key, tuple(paths), fingerprint, size, extra, stamp)
        for (key, paths, fingerprint, size, extra), stamp in zip(fields, known, strict=True)
    }
