"""How the driver bears many workers and many units: emulated accelerators, real Ray, real ledger.

    python benchmarks/scale.py [--actors 64] [--units 10000] [--sleep 1.0]

An emulated accelerator is a worker whose operation sleeps; it begins, writes, reads back and
commits like any other, on a fraction of a CPU. The ideal is units * sleep / actors. Measured:

- efficiency: ideal time / time taken, from the moment that the last worker has begun until there
  are as many units left as workers, by the times of the commits (goal: at least 0.9);
- whole run: the same from the first commit to the last, while workers still start, each with two
  seconds of imports, and when they run out of units;
- CPU time of the driver per unit, and its peak resident memory, which must not grow with the units.

A unit costs a worker some 10 ms of CPU in the ledger and in writing, whatever it computes: on 2
cores, 64 actors can't do more than about 200 units a second, so the sleep must be a good part of a
second.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medray.engine.units.operation import Operation, Unit
from medray.ids import unit_id
from medray.storage.shards.forms.ome import LABEL
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays


class Sleep(Operation):
    """An accelerator that takes `sleep_s` a unit."""

    name: ClassVar[str] = "sleep"
    arrays: ClassVar[Arrays] = {"image": LABEL}
    device: ClassVar[bool] = True

    def open(self) -> None:
        (Path(self.parameters["begun"]) / str(os.getpid())).touch()

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        yield Sample(key, {}, {"image": np.full((8, 8), unit.index % 251, "uint8")})

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        time.sleep(self.parameters["sleep_s"])
        yield from samples


def measure(root: Path, actors: int, count: int, sleep_s: float) -> dict[str, Any]:
    """One run in this process."""
    from medray.cluster.batch import run_on_ray
    from medray.cluster.session import start_local
    from medray.engine.units.worker import Receipt, WorkerSpec
    from medray.storage.store.objects import Objects

    begun = root / "begun"
    begun.mkdir()
    parameters = {"sleep_s": sleep_s, "begun": str(begun)}
    units = [
        Unit(unit_id("sleep", parameters, [str(n)]), n, (f"input-{n}",), {"path": f"raw/{n:09d}"})
        for n in range(count)
    ]
    objects = Objects(str(root / "store"))
    spec = WorkerSpec("scale:Sleep", parameters, objects, "s", session="scale")
    received = 0
    cpu: list[float] = []

    def take(receipt: Receipt) -> None:
        nonlocal received
        assert receipt.state == "committed", receipt
        received += 1
        if received in (1, count):
            cpu.append(time.process_time())

    with start_local(num_cpus=1):
        started = time.time()
        run_on_ray(spec, units, take, threading.Event(), workers=actors, num_cpus=0.9 / actors)
    at = sorted(entry.modified for entry in objects.walk("datasets/s/commits"))
    assert len(at) == count, f"{len(at)} commits"
    full = max(path.stat().st_mtime for path in begun.iterdir())
    late = at[-actors - 1]
    done = sum(full < moment <= late for moment in at)
    return {
        "actors": actors,
        "units": count,
        "sleep_s": sleep_s,
        "workers": len(list(begun.iterdir())),
        "start_s": round(at[0] - started, 1),
        "full_s": round(full - started, 1),
        "total_s": round(at[-1] - at[0], 1),
        "efficiency": round(done * sleep_s / actors / (late - full), 3),
        "whole run": round(count * sleep_s / actors / (at[-1] - at[0] + sleep_s), 3),
        "driver_ms_per_unit": round(1e3 * (cpu[-1] - cpu[0]) / count, 2),
        "driver_peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure each case in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actors", type=int, default=64)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--sleep", type=float, default=1.0)
    parser.add_argument("--one", action="store_true", help="this case alone, as JSON")
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory() as root:
            found = measure(Path(root), options.actors, options.units, options.sleep)
            print(json.dumps(found))
        return
    cases = [
        (8, options.units // 100, 0.1),
        (options.actors, options.units // 10, options.sleep),
        (options.actors, options.units, options.sleep),
    ]
    rows = [_apart(*case) for case in cases]
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    _, fewer, most = rows
    print(f"throughput / ideal, {options.actors} actors: {most['efficiency']:.3f}")
    growth = most["driver_peak_MiB"] / fewer["driver_peak_MiB"]
    print(f"driver, units x 10: {growth:.3f} ({most['driver_ms_per_unit']} ms a unit)")


def _apart(actors: int, units: int, sleep_s: float) -> dict[str, Any]:
    case = ["--actors", str(actors), "--units", str(units), "--sleep", str(sleep_s), "--one"]
    # Workers find the operation by this module's name.
    path = filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    out = subprocess.run(
        [sys.executable, __file__, *case],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
