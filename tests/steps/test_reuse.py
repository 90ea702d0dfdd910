"""What earlier versions of scores say, asked by several threads at once."""

import threading
from typing import Any

import pyarrow as pa
import pytest

from medray.errors import DamageError
from medray.steps.variants.reuse import KnownScores
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned
from medray.storage.store.objects import Objects


def test_damage_that_two_threads_meet_at_once_costs_both_the_scores_only(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=20)

    def damaged(self: Shard, names: Any) -> pa.Table:
        both.wait()
        raise DamageError("its bytes are others", code="hash-mismatch", about="shards/a")

    monkeypatch.setattr(Shard, "columns", damaged)
    known = KnownScores(objects, [], ["l2"])
    known._shards = {Pinned("shards/a", "0", ""): {"1": [1, 9]}}
    sites = pa.table({"contig": ["1"], "pos": [5], "ref": ["A"], "alt": ["C"]})
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(known.find(sites)[0].tolist()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[-1], [-1]]
