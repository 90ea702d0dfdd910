"""Reading and predicting from and to a bucket of a real Ceph, beside a disk and beside raw GETs.

    python benchmarks/ceph.py [--rounds N] [--volumes N]

Ceph (tests/servers/ceph.py) keeps all in memory, on the same cores. Predict: the same units by the
same worker with one thread, root on the disk and root in the bucket; model, volumes, masks, ledger
all there. Shard: one array of one shard, read whole by `Shard.array(...)[...]`, beside one obstore
GET of the same object whose chunks are then decoded by as many threads; there is no work but
transfer, checksums, decompression and one copy in either.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import obstore
import torch
from material import store_unet, store_volumes
from pairs import interleave, ratio
from servers import ceph
from servers.bucket import Bucket

from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned
from medray.storage.shards.zarr3 import EMPTY, ArrayMeta, decode_index, decompress
from medray.storage.store.objects import Objects
from medray.storage.store.remote import open_store

PATCH = (64, 96, 96)
SHAPE = (96, 192, 192)
SHARD = (256, 512, 512)  # int16: one shard object of 128 MiB raw
THREADS = 2
PARAMETERS = {
    "model": "net", "precision": "bf16", "batch": 1, "held_out": False, "options": {},
}  # fmt: skip


def predict(objects: Objects, output: str) -> tuple[str, float]:
    """Content of what was committed, and the seconds from the plan to the last commit."""
    began = time.perf_counter()
    planned = plan_shards(open_dataset(objects, "ct"), "predict", identity={}, select={})
    receipts: list[Receipt] = []
    spec = WorkerSpec(OPERATION, PARAMETERS, objects, output)
    run_inline(spec, planned.units, receipts.append, threading.Event())
    took = time.perf_counter() - began
    if any(one.state != "committed" or one.quarantined for one in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    commits = Ledger(objects, output).committed([unit.id for unit in planned.units])
    return "".join(commits.column("content")), took


def shard(objects: Objects, pinned: Pinned) -> np.ndarray:
    """The volume, as any reader of a dataset gets it."""
    return Shard(objects, pinned).array(0, "image")[...]


def raw(objects: Objects, prefix: str) -> np.ndarray:
    """The same bytes by one GET, then decoded."""
    store = open_store(objects.profile)
    document = json.loads(bytes(obstore.get(store, f"{prefix}/zarr.json").bytes()))
    meta = ArrayMeta.decode(document, prefix)
    assert math.prod(meta.grid) == 1
    body = memoryview(obstore.get(store, f"{prefix}/c.0.0.0.0").bytes())
    index = decode_index(bytes(body[-meta.index_bytes :]), meta.inner)
    out = np.zeros(meta.shape, meta.dtype)
    places = list(itertools.product(*(range(n) for n in meta.inner)))

    def decode(share: int) -> None:
        buffer = np.empty(meta.chunk, meta.dtype)
        for at in places[share::THREADS]:
            first, size = map(int, index[at])
            if first == EMPTY:
                continue
            decompress(body[first : first + size], buffer)
            low = [i * c for i, c in zip(at, meta.chunk, strict=True)]
            target = tuple(slice(a, a + c) for a, c in zip(low, meta.chunk, strict=True))
            out[target] = buffer[tuple(slice(0, n) for n in out[target].shape)]

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(decode, range(THREADS)))
    return out


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--volumes", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="ceph-", ignore_cleanup_errors=True) as folder:
        server = ceph.start(Path(folder) / "c")
        os.environ.update(server.environment)
        try:
            roots = {
                "disk": Objects(str(Path(folder) / "store")),
                "ceph": Bucket.new(server).objects("store"),
            }
            measure(roots, args.rounds, args.volumes)
        finally:
            server.stop()


def measure(roots: dict[str, Objects], rounds: int, volumes: int) -> None:
    """Print both figures."""
    store_volumes(roots["ceph"], "one", [SHARD])
    pinned = open_dataset(roots["ceph"], "one").shards[0].pinned
    prefix = f"{pinned.path}/arrays.zarr/0/image"
    if not np.array_equal(shard(roots["ceph"], pinned), raw(roots["ceph"], prefix)):
        raise SystemExit("the readers disagree")
    seconds = interleave(
        {
            "shard from ceph": lambda: timed(lambda: shard(roots["ceph"], pinned)),
            "raw GET and decode": lambda: timed(lambda: raw(roots["ceph"], prefix)),
        },
        4 * rounds,
    )
    for name, took in seconds.items():
        print(f"{name}: {math.prod(SHARD) * 2 / 1e6 / statistics.median(took):.0f} MB/s of voxels")
    ratio(seconds, "shard from ceph", "raw GET and decode")

    for objects in roots.values():
        torch.manual_seed(11)
        store_unet(objects, "net", PATCH)
        store_volumes(objects, "ct", [SHAPE] * volumes)
    contents: set[str] = set()
    runs = itertools.count()

    def run(name: str) -> float:
        content, took = predict(roots[name], f"out-{next(runs)}")
        contents.add(content)
        return took

    seconds = interleave({f"predict on {n}": lambda n=n: run(n) for n in roots}, rounds)
    if len(contents) > 1:
        raise SystemExit("the masks differ")
    for name, took in seconds.items():
        print(f"{name}: {statistics.median(took) / volumes:.2f} s a volume")
    ratio(seconds, "predict on ceph", "predict on disk")


if __name__ == "__main__":
    main()
