"""Scoring whole records: what it costs beside the bare network, and memory as records get longer.

Records of two leads at 360 Hz, tiled from those of MIT-BIH where MEDRAY_DATA names them (else noise
of their size), stand as int16 in shards. `medray` is the engine's worker, from these to committed
intervals: reading, scaling, cutting, the network, runs of classes. `bare` is the network alone on a
window that is in memory, as often as the record has windows, without margins. Seconds are CPU time
of the whole process, one thread, after one round that does not count. Each length has processes of
its own, too, which score it, whose peak until then is the kernel's, and of which the first asks the
bare network as often. What was called in the shorter record is held against the network's answer
for it in one piece.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from memory import own_peak_mb
from pairs import interleave, ratio
from safetensors.torch import save
from torch import nn

from medray.allocator import keep_freed_memory
from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.formats.signal.recording import Channel, array_of, placed, row_of, spec_of
from medray.modalities.loaded import load_trained
from medray.modalities.signal.intervals import Intervals
from medray.modalities.signal.plan import SignalPlan
from medray.modalities.signal.streaming import WINDOW
from medray.models.signal.unet1d import UNet1d
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

RATE, LEADS, CLASSES = 360.0, ("MLII", "V1"), ("N", "AFIB", "other")
HOUR = int(3600 * RATE)
BIAS = 0.7  # of the last class, which then changes a few times a minute
OPTIONS = {
    "batch": 16,
    "precision": "fp32",
    "held_out": False,
    "options": {"min_s": 1.0, "gap_s": 1.0},
}


def tile() -> np.ndarray:
    """Half an hour of two leads, int16 (2, time)."""
    folder = Path(os.environ.get("MEDRAY_DATA", "-")) / "biosignal" / "mitbih"
    if not folder.exists():
        return np.random.default_rng(0).normal(0, 80, (2, HOUR // 2)).astype(np.int16)
    import wfdb

    record = wfdb.rdrecord(str(folder / "200"), physical=False, return_res=16)
    return np.ascontiguousarray(record.d_signal.T)


def store(objects: Objects, name: str, hours: int) -> None:
    """A dataset of one record."""
    part = tile()
    length = hours * HOUR

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, length, part.shape[1]):
            yield part[:, : length - start]

    channels = placed(Channel(lead, "mV", RATE, 200.0, 1024.0) for lead in LEADS)
    row = row_of(channels, record=name, subject=name, duration_s=hours * 3600.0)
    ledger = Ledger(objects, name)
    attempt = ledger.begin("u")
    writer = ShardWriter(objects, ledger.shard_path(attempt), {array_of(RATE): spec_of(RATE)})
    slabs = Slabs((len(LEADS), length), np.dtype(np.int16), 1, blocks())
    writer.add(Sample(name, row, {array_of(RATE): slabs}))
    done = ledger.commit(attempt, Commit("u", attempt.id, writer.finish(), 1, []))
    publish(
        objects, name, kind="bench", spec="", commits=Commits.of([done]), refused=[], parents=[]
    )


def store_model(objects: Objects) -> None:
    """A package of `unet1d` as it is without options, with fresh weights. A bias keeps the class
    from changing every five samples, as that of no rhythm does."""
    torch.manual_seed(0)
    network = UNet1d.build(UNet1d.Options(), len(LEADS), len(CLASSES), None)
    with torch.no_grad():
        cast("nn.Conv1d", network.head[-1]).bias[-1] += BIAS
    plan = SignalPlan(
        answers="place",
        classes=CLASSES,
        batch_size=2,
        frequencies=(0.8, 0.1, 0.1),
        samples=1,
        rate=RATE,
        length=3600,
        leads=LEADS,
        scale="dataset",
        mean=(0.0, 0.0),
        std=(0.4, 0.4),
    )
    config = {
        "model": {"name": "unet1d"},
        "task": {"name": "tagging", "classes": CLASSES},
        "plan": plan.model_dump(mode="json"),
    }
    weights = save(network.state_dict())
    save_model(
        objects, "net", weights=weights, config=config, metrics={}, parents=[], spec="", card=""
    )


def score(root: str, name: str) -> tuple[float, list[dict[str, Any]]]:
    """Score a dataset with the worker; CPU seconds, and what was called."""
    objects = Objects(root)
    planned = plan_shards(open_dataset(objects, name), "predict", identity={}, select={})
    spec = WorkerSpec(OPERATION, OPTIONS | {"model": "net"}, objects, f"{name}-found")
    receipts: list[Receipt] = []
    start = time.process_time()
    run_inline(spec, planned.units, receipts.append, threading.Event())
    took = time.process_time() - start
    if any(receipt.state != "committed" or receipt.quarantined for receipt in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    done, _ = Ledger(objects, f"{name}-found").look(planned.units[0].id)
    assert done is not None
    (row,) = Shard(objects, done.shard.pinned).table.to_pylist()
    shutil.rmtree(Path(root) / "datasets" / f"{name}-found")
    return took, row["annotations"]


def differing(root: str, name: str, annotations: list[dict[str, Any]]) -> float:
    """The share of samples that are in no such interval as the network makes in one piece."""
    objects = Objects(root)
    values = np.asarray(open_dataset(objects, name).array(0, array_of(RATE))[...], np.float32)
    given = torch.from_numpy(np.clip((values - 1024) / 200 / np.float32(0.4), -20, 20)[None])
    with torch.inference_mode():
        sure = load_trained(objects, "net").network(given).softmax(1)[0].numpy()
    found = Intervals(0, least=round(RATE), gap=round(RATE))
    found.add(sure)
    wanted, called = np.zeros((2, sure.shape[1]), np.uint8)
    for one in found.end():
        wanted[one.start : one.stop] = one.kind
    for one in annotations:
        start, seconds = one["onset_s"], one["duration_s"]
        called[round(start * RATE) : round((start + seconds) * RATE)] = CLASSES.index(one["text"])
    if not called.any():
        raise SystemExit("nothing was called")
    return float((wanted != called).mean())


def bare(root: str, hours: int) -> float:
    """The network alone on resident windows; CPU seconds."""
    network = load_trained(Objects(root), "net").network
    windows = torch.randn(1, len(LEADS), WINDOW)
    whole, rest = divmod(hours * HOUR, WINDOW)
    start = time.process_time()
    with torch.inference_mode():
        for _ in range(whole):
            network(windows)
        network(windows[..., :rest])
    return time.process_time() - start


def alone(root: str, name: str, rounds: int) -> list[float]:
    """Score a dataset in processes of its own; peaks in MB."""
    peaks = []
    for number in range(rounds):
        asked = ["--one", root, name, "" if number else "bare"]
        done = subprocess.run([sys.executable, __file__, *asked], check=True, capture_output=True)
        found = json.loads(done.stdout)
        peaks.append(found["peak_mb"])
        if not number:
            print(
                f"{name} once: {found['medray']:.2f} s an hour, bare {found['bare']:.2f}: "
                f"{found['bare'] / found['medray']:.2f}"
            )
    return peaks


def one(root: str, name: str, *, beside: bool) -> None:
    """What `alone` starts."""
    hours = int(name[1:])
    took = score(root, name)[0] / hours
    found = {"peak_mb": own_peak_mb(), "medray": took}
    if beside:
        found["bare"] = bare(root, hours) / hours
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, nargs=2, default=[1, 24], help="shorter and longer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if args.one:
        root, name, beside = args.one
        one(root, name, beside=bool(beside))
        return
    few, many = args.hours
    with tempfile.TemporaryDirectory() as root:
        objects = Objects(root)
        store_model(objects)
        for hours in args.hours:
            store(objects, f"h{hours}", hours)
        seconds = interleave(
            {"medray": lambda: score(root, f"h{few}")[0], "bare": lambda: bare(root, few)},
            args.rounds,
        )
        ratio(seconds, "medray", "bare")
        apart = differing(root, f"h{few}", score(root, f"h{few}")[1])
        print(f"samples called otherwise than in one piece: {apart:.1e}")
        if apart > 1e-4:  # ties in float32
            raise SystemExit("the answers differ")
        peaks = [alone(root, f"h{hours}", args.rounds) for hours in args.hours]
    small, large = map(statistics.median, peaks)
    print(f"memory, {few} h to {many} h: {large / small:.3f}, n={args.rounds}; MB:")
    for hours, found in zip(args.hours, peaks, strict=True):
        print(f"{hours} h:", *(f"{each:.0f}" for each in sorted(found)))


if __name__ == "__main__":
    main()
