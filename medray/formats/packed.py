"""Inputs of a unit as bytes: what travels to a worker, and what the unit's identity is made of.

As objects an input takes about a kilobyte, and a plan has millions; packed it takes some 50 bytes.
So a format hands inputs over one by one, and `grouped` packs each group as soon as it is whole.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Any, overload

import pyarrow as pa
from pydantic_core import to_json
from xxhash import xxh3_64_intdigest

from medray.formats.base import Input

CODEC = "zstd"
_IDENTITY = itemgetter(slice(0, Input._fields.index("stamp")))


@dataclass(frozen=True)
class Packed(Sequence[Input]):
    """The inputs of one unit, each an object only while it is looked at.

    Args:
        keys: of the inputs.
        hash: of all but the stamps.
        payload: what a unit has of them: `inputs`, packed; `length`, unpacked; `bytes` and `stamps`
            of each, as arrays of 64 bits.
    """

    keys: tuple[str, ...]
    hash: str
    payload: dict[str, Any]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Input]:
        return iter(unpack(self.payload).values())

    @overload
    def __getitem__(self, at: int) -> Input: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Input]: ...
    def __getitem__(self, at: int | slice) -> Input | Sequence[Input]:
        return list(self)[at]


def pack(items: Sequence[Input]) -> Packed:
    """Inputs of one unit, in order."""
    if isinstance(items, Packed):
        return items
    data = to_json([*map(_IDENTITY, items)])
    keys, _, _, sizes, _, stamps = zip(*items, strict=True)
    payload = {
        "inputs": pa.compress(data, codec=CODEC, asbytes=True),
        "length": len(data),
        "bytes": array("q", sizes),
        "stamps": array("q", stamps),
    }
    return Packed(keys, sha256(data).hexdigest(), payload)


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


def grouped(items: Iterable[Input], *, samples: int, size: int = 256 * 2**20) -> list[Packed]:
    """Cut sorted inputs into groups of about `samples`, at most 2x that or `size` bytes.

    A cut falls where the hash of a key says so, not at every n-th input: a file added later moves
    at most the group it falls into, so all other units keep their identity (content-defined
    chunking, as in LBFS, Muthitacharoen et al. 2001).

    Args:
        items: gone through once, and not held.
        samples: inputs per group, about.
        size: bytes of a group's files at most, unless it is one input.
    """
    groups, group, held = list[Packed](), list[Input](), 0
    below = 2**65 // samples  # one of samples / 2 hashes
    for item in items:
        held += item.size
        count = len(group)
        if count and (
            held > size
            or count >= 2 * samples
            or (count * 2 >= samples and xxh3_64_intdigest(item.key.encode()) < below)
        ):
            groups.append(pack(group))
            group, held = [], item.size
        group.append(item)
    return [*groups, pack(group)] if group else groups
