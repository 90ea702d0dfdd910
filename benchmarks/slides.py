"""A large slide scored: what it costs beside the bare network, and how much memory it takes.

A drawn slide of --side pixels along each edge (`made_slides.large`: JPEG, tiles of 256, three
levels) is ingested and scored by `medray run --cluster inline`, driver and worker in one process,
whose peak is the kernel's (VmHWM). Then the worker scores it again, from stored tiles to a
committed row and map; `bare` is the network alone (tile embeddings, attention, tile answers) on
batches that are in memory, of as many tiles, as a script would load it, and `fused` with its batch
norms in its convolutions, as medray runs it. Seconds are CPU time of the whole process, one thread,
after one round that does not count; with --clock those of the clock. Answers of the first tiles are
held against each other. With --rounds 0 it is peak memory alone.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_slides import CLASSES, large
from memory import peak_mb
from pairs import interleave, ratio
from safetensors.torch import save

from medray.allocator import keep_freed_memory
from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.modalities.loaded import load_trained
from medray.modalities.slide.plan import SlidePlan
from medray.models import MODELS, model_options
from medray.models.base import Network
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.shards.reader import Shard
from medray.storage.store.objects import Objects

TILE, BATCH = 256, 32
MODEL = {"name": "attention-pooling"}
HOW = {
    "batch": 1, "precision": "fp32", "held_out": False, "options": {"tiles": BATCH, "heat": True},
}  # fmt: skip
JOB = """
kind: ingest
format: {{name: slide, mpp: 0.5, tile: {tile}}}
source: {source}
output: slides
---
kind: predict
model: net
data: slides
output: scored
options: {{tiles: {batch}}}
"""


def written() -> Network:
    """The network with fresh weights, as it is written."""
    torch.manual_seed(0)
    kind = MODELS.get(MODEL["name"])
    return kind.build(model_options(MODEL), 3, len(CLASSES), (TILE, TILE))


def untrained(objects: Objects) -> None:
    """A model with fresh weights: what a network costs does not hang on them."""
    network = written()
    plan = SlidePlan(
        answers="sample", classes=CLASSES, batch_size=2, frequencies=(0.5, 0.5), samples=1,
        tile=TILE, mpp=0.5, mean=(200, 150, 200), std=(40, 40, 40), most_tiles=64,
    )  # fmt: skip
    task = {"name": "classification", "classes": CLASSES}
    config = {"model": MODEL, "task": task, "plan": plan.model_dump(mode="json")}
    save_model(
        objects, "net", weights=save(network.state_dict()), config=config, metrics={}, parents=[],
        spec="", card="",
    )  # fmt: skip


def score(objects: Objects, clock: Callable[[], float]) -> tuple[float, np.ndarray]:
    """Score the stored slide with the worker; seconds, and the map of each tile's answer."""
    planned = plan_shards(open_dataset(objects, "slides"), "predict", identity={}, select={})
    spec = WorkerSpec(OPERATION, HOW | {"model": "net"}, objects, "again")
    receipts: list[Receipt] = []
    start = clock()
    run_inline(spec, planned.units, receipts.append, threading.Event())
    took = clock() - start
    if any(receipt.state != "committed" or receipt.quarantined for receipt in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    done, _ = Ledger(objects, "again").look(planned.units[0].id)
    assert done is not None
    heat = np.asarray(Shard(objects, done.shard.pinned).array(0, "heat")[...])
    shutil.rmtree(Path(str(objects.url).removeprefix("file://")) / "datasets" / "again")
    return took, heat


def bare(
    network: Any, batch: torch.Tensor, tiles: int, clock: Callable[[], float]
) -> tuple[float, np.ndarray]:
    """The network alone on resident tiles, again and again; seconds, and answers of the first."""
    start = clock()
    with torch.inference_mode():
        for at in range(0, tiles, BATCH):
            embedded = network.embed(batch[: min(BATCH, tiles - at)])
            network.weigh(embedded)
            answers = network.decide(embedded)
            if not at:
                first = answers.softmax(1)
    return clock() - start, first.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", action="store_true", help="seconds of the clock")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    clock = time.perf_counter if args.clock else time.process_time
    with tempfile.TemporaryDirectory() as root:
        source, store = Path(root) / "source", Path(root) / "store"
        source.mkdir()
        large(source / "large.tif", args.side)
        objects = Objects(str(store))
        untrained(objects)
        job = Path(root) / "job.yaml"
        job.write_text(JOB.format(tile=TILE, batch=BATCH, source=source))
        command = [sys.executable, "-m", "medray", "run", str(job), "--cluster", "inline",
                   "--storage", str(store), "--no-report"]  # fmt: skip
        started = time.perf_counter()
        peak = peak_mb(command)
        took = time.perf_counter() - started
        data = open_dataset(objects, "slides")
        row = data.samples.to_pylist()[0]
        print(
            f"{args.side} x {args.side} pixels, {row['tiles']} tiles with tissue and "
            f"{row['tiles_without_tissue']} without: ingested and scored in {took:.0f} s "
            f"(load {os.getloadavg()[0]:.1f})"
        )
        print(f"peak of driver and worker in GB: {peak / 1000:.2f}")
        if not args.rounds:
            return
        plan = load_trained(objects, "net").plan
        raw = np.asarray(data.array(0, "tiles")[:BATCH]).astype(np.float32)
        mean, std = (np.array(one, np.float32)[:, None, None] for one in (plan.mean, plan.std))
        batch = torch.from_numpy((raw - mean) / std).contiguous(memory_format=torch.channels_last)
        fused: Any = load_trained(objects, "net").network
        alone: Any = written().eval().requires_grad_(False).to(memory_format=torch.channels_last)
        ours, theirs = score(objects, clock), bare(fused, batch, row["tiles"], clock)
        places = np.asarray(data.array(0, "places")[:BATCH])
        same = ours[1][1:, places[:, 0], places[:, 1]].T
        if not np.allclose(same, theirs[1], atol=1e-5):
            raise SystemExit("the answers differ")
        seconds = interleave(
            {
                "medray": lambda: score(objects, clock)[0],
                "bare": lambda: bare(alone, batch, row["tiles"], clock)[0],
                "fused": lambda: bare(fused, batch, row["tiles"], clock)[0],
            },
            args.rounds,
        )
        for name in ("bare", "fused"):
            ratio(seconds, "medray", name)
        each = {name: np.median(some) / row["tiles"] * 1e3 for name, some in seconds.items()}
        print(", ".join(f"{name} {one:.2f} ms a tile" for name, one in each.items()))


if __name__ == "__main__":
    main()
