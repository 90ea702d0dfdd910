"""Peak resident memory: of prediction as volumes get deeper, of drivers as units get more.

Each measurement is a process of its own; its peak is the kernel's (VmHWM), libraries included.

- predict: one volume of D and one of 4 D slices, 192 x 192, through the worker, to a committed
  mask. Held whole, the deeper one would take 75 MB as float32 and 226 MB as logits. How a heap
  breaks up differs by a sixth from run to run, so the median of several stands for each. Once as
  it is, and once with only the largest connected part of each class kept;
- inline driver: `medray run --cluster inline` of an ingest with N and with 10 N units, which is
  driver and worker in one process;
- ray driver: `medray run --cluster local` of the same; the driver's process alone.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

PATCH, FEATURES, DEPTH = (32, 96, 96), (8, 16, 32), 128
HOW = {"batch": 1, "precision": "fp32", "held_out": False, "options": {"overlap": 0.25}}
JOB = """
kind: ingest
format: {{name: image}}
source: {source}
output: pictures
units: {{samples: 1}}
"""


def peak_mb(command: list[str]) -> float:
    """Run to the end; the greatest peak that was seen, in MB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, int((status.partition("VmHWM:")[2].split() or ["0"])[0]))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return peak / 1024


def own_peak_mb() -> float:
    """The peak of this process until now, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def predict(root: str, data: str) -> None:
    """Predict one dataset in this process."""
    from medray.engine.units.inline import run_inline
    from medray.engine.units.worker import Receipt, WorkerSpec
    from medray.steps.base.planned import plan_shards
    from medray.steps.predict.resolve import OPERATION
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects

    objects = Objects(root)
    planned = plan_shards(open_dataset(objects, data), "predict", identity={}, select={})
    spec = WorkerSpec(
        OPERATION,
        HOW | {"model": "net"},
        objects,
        f"{data}-masks",
    )
    receipts: list[Receipt] = []
    run_inline(spec, planned.units, receipts.append, threading.Event())
    if any(receipt.state != "committed" or receipt.quarantined for receipt in receipts):
        raise SystemExit(f"not all committed: {receipts}")


def measure_predict(folder: str, depth: int, repeats: int, **task: object) -> list[float]:
    """Median peaks for a volume of `depth` slices and one four times as deep."""
    from material import store_unet, store_volumes

    from medray.storage.store.objects import Objects

    objects = Objects(folder)
    store_unet(objects, "net", PATCH, FEATURES, **task)
    peaks: dict[str, list[float]] = {"deep1": [], "deep4": []}
    for times in (1, 4):
        store_volumes(objects, f"deep{times}", [(times * depth, 192, 192)])
    for _ in range(repeats):
        for name, found in peaks.items():
            found.append(peak_mb([sys.executable, __file__, "--one", folder, name]))
            shutil.rmtree(Path(folder) / "datasets" / f"{name}-masks")
    return [statistics.median(found) for found in peaks.values()]


def measure_driver(folder: Path, cluster: str, units: int) -> list[float]:
    """Peaks of the command's process with `units` and with ten times as many."""
    peaks = []
    for times in (1, 10):
        raw = folder / f"raw{times}"
        if not raw.exists():
            raw.mkdir()
            for number in range(times * units):
                pixels = np.full((8, 8), number % 256, np.uint8)
                Image.fromarray(pixels).save(raw / f"{number:06d}.png")
        job = folder / f"job{times}.yaml"
        job.write_text(JOB.format(source=raw))
        root = folder / f"{cluster}{times}"
        medray = str(Path(sys.executable).with_name("medray"))
        where = ["--cluster", cluster, "--storage", str(root)]
        peaks.append(peak_mb([medray, "run", str(job), *where, "--json", "--no-report"]))
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument("--repeats", type=int, default=5, help="of each prediction")
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        predict(*args.one)
        return
    from material import CLASSES

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "predict, depth x 4": measure_predict(f"{name}/plain", args.depth, args.repeats),
            "predict, largest parts, depth x 4": measure_predict(
                f"{name}/largest", args.depth, args.repeats, keep_largest=["*", *CLASSES[1:]]
            ),
            "inline driver, units x 10": measure_driver(folder, "inline", args.units),
            "ray driver, units x 10": measure_driver(folder, "local", args.units),
        }
    for about, (small, large) in found.items():
        print(f"{about}: {large / small:.3f} ({small:.0f} MB, then {large:.0f} MB)")


if __name__ == "__main__":
    main()
