"""Rows of stacks that are asked for in order: each chunk is decoded once."""

from typing import Any

import numpy as np
import pytest

from medray.storage.shards import writer as writing
from medray.storage.shards.array_reader import ArrayReader
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import declared_of
from tests.stored import found


def sample(number: int) -> Sample:
    data = np.random.default_rng(number).integers(-99, 99, (1, 8, 8)).astype("int16")
    return Sample(f"s{number}", {}, {"image": data})


def test_rows_of_a_stack_are_the_same_when_chunks_are_kept(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "STACK_CHUNK_BYTES", 4 * 64 * 2)  # four rows in a chunk
    samples = [sample(n) for n in range(10)]
    writer = ShardWriter(objects, "s", declared_of(samples))
    for one in samples:
        writer.add(one)
    writer.finish()
    decoded: list[int] = []
    whole = ArrayReader.__getitem__

    def counted(self: ArrayReader, window: Any) -> np.ndarray:
        decoded.append(1)
        return whole(self, window)

    monkeypatch.setattr(ArrayReader, "__getitem__", counted)
    shard = Shard(objects, found(objects, "s"), in_order=True)
    for number in (*range(10), 3, 9):
        got = shard.array(number, "image")[...]
        np.testing.assert_array_equal(got, samples[number].arrays["image"])
        got += 1  # what is handed over is the caller's
    part = shard.array(5, "image")[:, 2:4]
    np.testing.assert_array_equal(part, np.asarray(samples[5].arrays["image"])[:, 2:4])
    assert len(decoded) == 3 + 2 + 1
