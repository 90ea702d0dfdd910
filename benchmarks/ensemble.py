"""The mask of five networks in one pass, beside that of one: processor time, and peak memory.

Both are packages of the same U-Net, asked by the worker about the same volumes, from shards to
committed masks. Each measurement is a process of its own with one thread; its time is the
processor's, from the opened package to the last commit, so neighbours on the machine count little,
and its peak is the kernel's (VmHWM), libraries included. Rounds are interleaved.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from os import environ
from pathlib import Path

from pairs import interleave

NETWORKS = 5
PATCH, SHAPE, FEATURES = (32, 96, 96), (64, 192, 192), (16, 32, 64)
HOW = {"batch": 1, "precision": "bf16", "held_out": False, "options": {"overlap": 0.5}}


def predict(root: str, model: str) -> None:
    """Predict in this process; prints seconds and MB."""
    from memory import own_peak_mb

    from medray.allocator import keep_freed_memory
    from medray.engine.units.inline import run_inline
    from medray.engine.units.worker import Receipt, WorkerSpec
    from medray.steps.base.planned import plan_shards
    from medray.steps.predict.resolve import OPERATION
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects

    keep_freed_memory()
    objects = Objects(root)
    planned = plan_shards(open_dataset(objects, "ct"), "predict", identity={}, select={})
    spec = WorkerSpec(OPERATION, HOW | {"model": model}, objects, f"{model}-masks")
    receipts: list[Receipt] = []
    began = time.process_time()
    run_inline(spec, planned.units, receipts.append, threading.Event())
    seconds = time.process_time() - began
    if any(receipt.state != "committed" or receipt.quarantined for receipt in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    print(json.dumps([seconds, own_peak_mb()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        predict(*args.one)
        return
    from material import store_unet, store_volumes

    from medray.storage.store.objects import Objects

    with tempfile.TemporaryDirectory() as root:
        objects = Objects(root)
        store_unet(objects, "one", PATCH, FEATURES, keep_largest=[])
        store_unet(objects, "several", PATCH, FEATURES, networks=NETWORKS, keep_largest=[])
        store_volumes(objects, "ct", [SHAPE] * args.volumes)
        peaks: dict[str, list[float]] = {"one": [], "several": []}

        def ask(model: str) -> float:
            command = [sys.executable, __file__, "--one", root, model]
            environment = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}  # as a worker has them
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=environ | environment
            )
            shutil.rmtree(Path(root) / "datasets" / f"{model}-masks")
            seconds, peak = json.loads(done.stdout)
            peaks[model].append(peak)
            return float(seconds)

        took = interleave(
            {"one": lambda: ask("one"), "several": lambda: ask("several")}, args.rounds
        )
    times = [b / a for a, b in zip(took["one"], took["several"], strict=True)]
    memory = [b / a for a, b in zip(peaks["one"], peaks["several"], strict=True)]
    for name, found, unit, of in (
        ("time", times, "s", took),
        ("memory", memory, "MB", peaks),
    ):
        each = [statistics.median(of[model]) for model in ("one", "several")]
        spread = f"{min(found):.2f}-{max(found):.2f}, n={len(found)}"
        print(
            f"five networks / one, {name}: {statistics.median(found):.2f} "
            f"({spread}; {each[0]:.1f} {unit}, then {each[1]:.1f})"
        )


if __name__ == "__main__":
    main()
