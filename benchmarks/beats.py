"""Predictions of very many small samples: what they cost beside the bare network.

Beats of one lead and a second at 125 Hz, noise, int16 in shards of 5,000. `medray` is the engine's
worker, from these to committed rows; `bare` is the network alone on batches that are in memory.
Seconds are CPU time of the whole process, one thread, after one round that does not count. Answers
are held against each other.
"""

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from pairs import interleave, ratio
from safetensors.torch import save

from medray.allocator import keep_freed_memory
from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.modalities.loaded import load_trained
from medray.modalities.signal.plan import SignalPlan
from medray.models.signal.resnet1d import ResNet1d
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

LENGTH, RATE, SHARD, BATCH, CLASSES = 125, 125.0, 5000, 256, ("N", "S", "V", "F", "Q")
ROW = {"record": "100", "subject": "100", "rate": RATE, "leads": ["MLII"], "symbol": "N"}
ROW |= {"gain": [200.0], "baseline": [0.0], "units": ["mV"], "rr_prev_s": 0.8, "label": "N"}
SIGNAL = ArraySpec((Axis("lead", "channel"), Axis("time", "time", "second")), ("int16",))
OPTIONS = {"batch": BATCH, "precision": "fp32", "held_out": False, "options": {}}


def beats(count: int) -> np.ndarray:
    """int16 (beats, 1, time)."""
    return np.random.default_rng(0).normal(0, 150, (count, 1, LENGTH)).astype(np.int16)


def store(objects: Objects, count: int) -> None:
    """A dataset of them, and a model with fresh weights."""
    ledger, done, values = Ledger(objects, "beats"), [], beats(count)
    for first in range(0, count, SHARD):
        attempt = ledger.begin(f"u{first}")
        writer = ShardWriter(objects, ledger.shard_path(attempt), {"signal": SIGNAL})
        some = range(first, min(first + SHARD, count))
        for at in some:
            writer.add(Sample(f"b{at:06d}", dict(ROW), {"signal": values[at]}))
        commit = Commit(f"u{first}", attempt.id, writer.finish(), len(some), [])
        done.append(ledger.commit(attempt, commit))
    commits = Commits.of(done)
    publish(
        objects, "beats", kind="bench", spec="", commits=commits, refused=[], parents=[]
    )  # fmt: skip
    torch.manual_seed(0)
    network = ResNet1d.build(ResNet1d.Options(), 1, len(CLASSES), (LENGTH,))
    plan = SignalPlan(
        answers="sample", classes=CLASSES, batch_size=2, frequencies=(0.2,) * 5, samples=1,
        rate=RATE, length=LENGTH, leads=("MLII",), scale="window",
    )  # fmt: skip
    task = {"name": "classification", "classes": CLASSES, "target": "label"}
    config = {"model": {"name": "resnet1d"}, "task": task, "plan": plan.model_dump(mode="json")}
    weights = save(network.state_dict())
    save_model(
        objects, "net", weights=weights, config=config, metrics={}, parents=[], spec="", card=""
    )


def predict(root: str) -> tuple[float, np.ndarray]:
    """Answer the dataset with the worker; CPU seconds, and probabilities (beats, classes)."""
    objects = Objects(root)
    planned = plan_shards(open_dataset(objects, "beats"), "predict", identity={}, select={})
    spec = WorkerSpec(OPERATION, OPTIONS | {"model": "net"}, objects, "found")
    receipts: list[Receipt] = []
    start = time.process_time()
    run_inline(spec, planned.units, receipts.append, threading.Event())
    took = time.process_time() - start
    if any(receipt.state != "committed" or receipt.quarantined for receipt in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    ledger, made = Ledger(objects, "found"), []
    for unit in planned.units:
        done, _ = ledger.look(unit.id)
        assert done is not None
        made += Shard(objects, done.shard.pinned).table["probability"].to_pylist()
    shutil.rmtree(Path(root) / "datasets" / "found")
    return took, np.array(made)


def bare(root: str, count: int) -> tuple[float, np.ndarray]:
    """The network alone on scaled beats that are resident; CPU seconds, and probabilities."""
    network = load_trained(Objects(root), "net").network
    given = torch.from_numpy(beats(count).astype(np.float32) / 200)
    given = (given - given.mean(2, keepdim=True)) / given.std(2, correction=0, keepdim=True)
    start = time.process_time()
    with torch.inference_mode():
        made = [network({"signal": some}).softmax(1) for some in given.split(BATCH)]
    return time.process_time() - start, torch.cat(made).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beats", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as root:
        store(Objects(root), args.beats)
        ours, theirs = predict(root), bare(root, args.beats)
        if not np.allclose(ours[1], theirs[1], atol=1e-5):
            raise SystemExit("the answers differ")
        seconds = interleave(
            {"medray": lambda: predict(root)[0], "bare": lambda: bare(root, args.beats)[0]},
            args.rounds,
        )
        ratio(seconds, "medray", "bare")
        each = {name: np.median(some) / args.beats * 1e6 for name, some in seconds.items()}
        print(", ".join(f"{name} {one:.0f} us a beat" for name, one in each.items()))


if __name__ == "__main__":
    main()
