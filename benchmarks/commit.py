"""What exactly-once costs: the share of a worker's time that it takes, and what a kill wastes.

Share: units of `predict` one after another on one thread, so that nothing is hidden behind a
neighbour's computation. Counted is all that a plain script would leave out: looking up and writing
attempt and commit records, hashing what is written (BLAKE3 of objects and of contents), CRC-32C of
chunks, syncing to the disk, reading back and comparing. Writing the bytes is in it too, since
`Outbox` does it in one breath with the checks, and all that finishes a shard: its table, its
metadata, and compressing the arrays that are small enough to have waited for the end. Small files
are most of it for small volumes, so the file system shows: ext4 without a journal looks for a new
file's inode past all that were freed in the last minutes, 0.1 ms each. So nothing is removed
before the end; give `TMPDIR` on the file system that counts.

Kill: a job of many units on Ray, its driver and all its processes killed (SIGKILL) when half of the
units are committed, then run again. Work is the seconds that units were under way: those of
committed units, which each ran once, and for every attempt that the kill cut off its time until
then, at most a unit's mean. The digest must be that of a run that nobody disturbed.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from material import store_unet, store_volumes

from medray.engine.units.worker import Worker, WorkerSpec
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards import arrays, upload, zarr3
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

OPTIONS = {"batch": 1, "precision": "bf16", "held_out": False, "options": {}}
CT, HIPPOCAMPUS = (96, 192, 192), (36, 50, 35)
JOB = """
kind: predict
model: net
data: many
output: {output}
"""

spent: Counter[str] = Counter()
_inside = threading.local()


def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its seconds added to `spent`; calls from within another counted one are not."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if getattr(_inside, "depth", 0):
            return function(*args, **kwargs)
        _inside.depth = 1
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - started
            _inside.depth = 0

    return call


class CountedHash:
    """The content's hash, whose time counts."""

    def __init__(self, data: bytes = b"") -> None:
        self._hash = HASH(data)
        self.update = counted("content hash", self._hash.update)
        self.hexdigest = self._hash.hexdigest


HASH = arrays.xxh3_128


def instrument() -> None:
    """Put timers around everything that is counted."""
    for name in ("history", "begin", "commit_of", "commit"):
        setattr(Ledger, name, counted("records", getattr(Ledger, name)))
    for name in ("put", "add", "end", "flush"):
        setattr(upload.Outbox, name, counted("objects", getattr(upload.Outbox, name)))
    ShardWriter.finish = counted("finish", ShardWriter.finish)  # type: ignore[method-assign]
    arrays.xxh3_128 = CountedHash  # type: ignore[assignment,misc]
    zarr3.crc32c = counted("chunk checksums", zarr3.crc32c)


def share(
    about: str, folder: Path, shapes: list[tuple[int, int, int]], patch: tuple[int, int, int]
) -> None:
    """Print the share for volumes of these shapes, 16 small or one large to a unit."""
    objects = Objects(str(folder))
    store_unet(objects, "net", patch)
    per_unit = 16 if shapes[0] == HIPPOCAMPUS else 1
    data = store_volumes(objects, "data", shapes, per_unit)
    planned = plan_shards(data, "predict", identity={}, select={})
    worker = Worker(WorkerSpec(OPERATION, OPTIONS | {"model": "net"}, objects, "masks"))
    worker.run(planned.units[0])  # loads the network, makes its kernels
    spent.clear()
    started = time.perf_counter()
    receipts = [worker.run(unit) for unit in planned.units[1:]]
    total = time.perf_counter() - started
    if any(receipt.state != "committed" or receipt.quarantined for receipt in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    parts = ", ".join(f"{name} {took / total:.2%}" for name, took in spent.most_common())
    about = f"commit and checksums, {about}"
    print(f"{about}: {spent.total() / total:.4f} ({parts}; {total:.1f} s, {len(receipts)} units)")


def kill(folder: Path, units: int, patch: tuple[int, int, int]) -> None:
    """Print how much work a job does that is killed at half way."""
    root = folder / "store"
    objects = Objects(str(root))
    store_unet(objects, "net", patch)
    store_volumes(objects, "many", [patch] * units)
    calm = _finish(_start(folder, root, "calm"))
    process = _start(folder, root, "masks")
    commits = root / "datasets" / "masks" / "commits"
    while not commits.is_dir() or len(list(commits.glob("*.json"))) < units // 2:
        if process.poll() is not None:
            raise SystemExit("the job ended before it could be killed")
        time.sleep(0.01)
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    killed = datetime.datetime.now(datetime.UTC)
    for one in tree:
        one.kill()
    psutil.wait_procs(tree)
    process.communicate()
    before = len(list(commits.glob("*.json")))
    cut = _cut_off(root, killed)
    resumed = _finish(_start(folder, root, "masks"))
    if resumed["digest"] != calm["digest"]:
        raise SystemExit("the killed job made something else")
    if resumed["units"]["committed"] != units - before:
        raise SystemExit(f"{before} of {units} were done, yet {resumed['units']}")
    done = [sum(commit.seconds.values()) for commit in _commits(objects)]
    lost = sum(min(seconds, statistics.mean(done)) for seconds in cut)
    detail = f"{before} of {units} units committed at the kill, {len(cut)} cut off"
    print(f"work after a kill at half way: {1 + lost / sum(done):.3f} ({detail})")


def _start(folder: Path, root: Path, output: str) -> subprocess.Popen[str]:
    job = folder / f"{output}.yaml"
    job.write_text(JOB.format(output=output))
    medray = str(Path(sys.executable).with_name("medray"))
    options = ["--storage", str(root), "--cluster", "local", "--json", "--no-report"]
    command = [medray, "run", str(job), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def _finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the job ended with {process.returncode}: {said}")
    step: dict[str, Any] = json.loads(said)["steps"][0]
    return step


def _commits(objects: Objects) -> list[Commit]:
    planned = plan_shards(open_dataset(objects, "many"), "x", identity={}, select={})
    names = [entry.path for entry in objects.walk("datasets/masks/commits")]
    if len(names) != len(planned.units):
        raise SystemExit(f"{len(names)} commits of {len(planned.units)} units")
    return [Commit.decode(objects.get(name), name) for name in names]


def _cut_off(root: Path, killed: datetime.datetime) -> list[float]:
    """Seconds that each attempt without a commit and without an end was under way."""
    seconds = []
    for folder in (root / "datasets" / "masks" / "attempts").iterdir():
        done = root / "datasets" / "masks" / "commits" / f"{folder.name}.json"
        for path in folder.glob("*.json"):
            ended = path.with_name(path.name.replace(".json", ".end.json"))
            if path.name.count(".") == 1 and not done.exists() and not ended.exists():
                began = datetime.datetime.fromisoformat(json.loads(path.read_text())["at"])
                seconds.append((killed - began).total_seconds())
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=8, help="like CT, one a unit")
    parser.add_argument("--small", type=int, default=160, help="like a hippocampus, 16 a unit")
    parser.add_argument("--units", type=int, default=160, help="of the job that is killed")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instrument()
        share("CT", folder / "ct", [CT] * args.volumes, (64, 96, 96))
        share("hippocampus", folder / "small", [HIPPOCAMPUS] * args.small, (40, 56, 40))
        kill(folder, args.units, (32, 64, 64))


if __name__ == "__main__":
    main()
