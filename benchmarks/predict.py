"""Bulk segmentation of volumes, read to write, beside what a user would otherwise write.

medray: two processes of the engine's worker with one thread each (what each actor of the Ray pool
runs), from shards to committed shards, bf16. The others read .npy and write .npy, which is less
work, over the same volumes, network, grid of windows and weights:

- torch 1x2: a hand-tuned script, one process with two threads: bf16 autocast, the next volume read
  while this one computes, one weighted sum in place, no count map, argmax class by class;
- torch 2x1: the same script, two processes with one thread each;
- torch 2x1, our layout: the same, given medray's channels-last network too: what is left is what
  medray's reading, blending, checks and commits cost;
- monai: sliding_window_inference(mode="gaussian") in a plain script with defaults: fp32, 2 threads;
- bare: the network alone, bf16, on a window that is in memory, as many times as there are windows,
  in medray's processes, with its allocator setting and its layout of the network's memory.

Process start and imports are outside of all times; opening the model is inside of medray's.
"""

import argparse
import functools
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from material import CLASSES, MEAN, STD, ct_like, store_unet, store_volumes, written_network
from monai.inferers import sliding_window_inference
from pairs import interleave, ratio
from torch import nn

from medray.allocator import keep_freed_memory
from medray.engine.units.inline import run_inline
from medray.engine.units.operation import Unit
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.modalities.image.sliding.blend import gaussian_weights
from medray.modalities.image.sliding.grid import box, plan_grid
from medray.modalities.loaded import load_trained
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.store.objects import Objects

FAIR = "torch 2x1, our layout"
PATCH = (64, 96, 96)
SHAPE = (96, 192, 192)
OPTIONS = {"batch": 1, "held_out": False, "options": {}}


def prepare(root: Path, volumes: int) -> None:
    """The same volumes as .npy and as a dataset of one unit each; a model package."""
    objects = Objects(str(root))
    store_unet(objects, "net", PATCH)
    store_volumes(objects, "ct", [SHAPE] * volumes)
    for number in range(volumes):
        np.save(root / f"{number}.npy", ct_like(SHAPE, number))


@functools.cache
def network_of(root: Path, *, ours: bool = False) -> nn.Module:
    """The network, without medray around it: in the layout that it was written in, or in ours."""
    if ours:
        return load_trained(Objects(str(root)), "net").network
    return written_network(root)


def torch_script(root: Path, numbers: list[int], name: str = "torch") -> None:
    """The hand-tuned script."""
    network, weights = network_of(root, ours=name == "ours"), gaussian_weights(PATCH)
    starts = list(plan_grid(SHAPE, PATCH, 0.5).windows())

    def read(number: int) -> torch.Tensor:
        image = torch.from_numpy(np.load(root / f"{number}.npy"))
        return image.float().sub_(MEAN).div_(STD).to(torch.bfloat16)

    with (
        ThreadPoolExecutor(1) as pool,
        torch.inference_mode(),
        torch.autocast("cpu", torch.bfloat16),
    ):
        ahead = pool.submit(read, numbers[0])
        for at, number in enumerate(numbers):
            image = ahead.result()
            if at + 1 < len(numbers):
                ahead = pool.submit(read, numbers[at + 1])
            total = torch.zeros(len(CLASSES), *SHAPE)
            for start in starts:
                where = (slice(None), *box(start, PATCH))
                total[where].addcmul_(network(image[where][None])[0].float(), weights)
            best, labels = total[0].clone(), torch.zeros(SHAPE, dtype=torch.uint8)
            for label in range(1, len(CLASSES)):
                better = (total[label] > best).view(torch.uint8)
                torch.maximum(labels, better.mul_(label), out=labels)
                torch.maximum(best, total[label], out=best)
            np.save(root / f"{name}-{number}.npy", labels.numpy())


def monai_script(root: Path, numbers: list[int]) -> None:
    """The plain script."""
    network = network_of(root)
    for number in numbers:
        image = torch.from_numpy(np.load(root / f"{number}.npy").astype(np.float32))
        with torch.inference_mode():
            logits = sliding_window_inference(
                ((image - MEAN) / STD)[None], PATCH, 1, network, overlap=0.5, mode="gaussian"
            )
        np.save(root / f"monai-{number}.npy", logits[0].argmax(0).to(torch.uint8).numpy())


def bare(root: Path, windows: int) -> None:
    """The network alone."""
    keep_freed_memory()
    network = network_of(root, ours=True)
    window = torch.randn(1, 1, *PATCH).to(torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(windows):
            network(window)


def medray(spec: WorkerSpec, units: list[Unit]) -> list[Receipt]:
    """What an actor of the pool does."""
    receipts: list[Receipt] = []
    run_inline(spec, units, receipts.append, threading.Event())
    return receipts


def serve(pipe: Connection) -> None:
    """A process with one thread: takes (function, arguments), answers with the result."""
    torch.set_num_threads(1)
    while (job := pipe.recv()) is not None:
        function, arguments = job
        pipe.send(function(*arguments))


def together(pipes: list[Connection], function: Callable[..., Any], jobs: list[Any]) -> list[Any]:
    """One call in each process, at the same time."""
    for pipe, arguments in zip(pipes, jobs, strict=True):
        pipe.send((function, arguments))
    return [pipe.recv() for pipe in pipes]


def timed(function: Callable[[], Any]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def agree(root: Path, output: str, script: str, numbers: list[int]) -> float:
    """Share of voxels on which medray's masks and a script's agree."""
    masks = open_dataset(Objects(str(root)), output)
    shares = []
    for index, name in enumerate(masks.samples["sample_id"].to_pylist()):
        number = int(name[1:])
        if number in numbers:
            label = masks.array(index, "label")[...]
            shares.append((label == np.load(root / f"{script}-{number}.npy")).mean())
    return float(np.mean(shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--volumes", type=int, default=4, help="a multiple of 2")
    parser.add_argument(
        "--fair", action="store_true", help="beside who has the network in channels-last alone"
    )
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MALLOC_ARENA_MAX"] = "1"  # as Ray's workers have it; the rivals get it too
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root, args.volumes)
        pipes = []
        for _ in range(2):
            ours, theirs = context.Pipe()
            context.Process(target=serve, args=(theirs,), daemon=True).start()
            pipes.append(ours)
        torch.set_num_threads(2)
        objects, numbers = Objects(folder), list(range(args.volumes))
        data = open_dataset(objects, "ct")
        halves = [numbers[0::2], numbers[1::2]]
        windows = len(plan_grid(SHAPE, PATCH, 0.5)) * args.volumes // 2
        runs, made = iter(range(10**6)), dict[str, str]()

        def predict(precision: str = "bf16") -> None:
            output = f"out-{precision}-{next(runs)}"
            planned = plan_shards(data, "predict", identity={}, select={})
            parameters = OPTIONS | {"model": "net", "precision": precision}
            spec = WorkerSpec(OPERATION, parameters, objects, output)
            parts = together(pipes, medray, [(spec, planned.units[half::2]) for half in (0, 1)])
            receipts = [receipt for part in parts for receipt in part]
            if any(r.state != "committed" or r.quarantined for r in receipts):
                raise SystemExit(f"not all committed: {receipts}")
            commits = Ledger(objects, output).committed([unit.id for unit in planned.units])
            made[precision] = output
            publish(
                objects,
                output,
                kind="bench",
                spec=output,
                commits=commits,
                refused=[],
                parents=[],
            )

        candidates: dict[str, Callable[[], float]] = {
            "medray": lambda: timed(predict),
            "torch 1x2": lambda: timed(lambda: torch_script(root, numbers)),
            "torch 2x1": lambda: timed(
                lambda: together(pipes, torch_script, [(root, half) for half in halves])
            ),
            FAIR: lambda: timed(
                lambda: together(pipes, torch_script, [(root, half, "ours") for half in halves])
            ),
            "monai": lambda: timed(lambda: monai_script(root, numbers)),
            "bare": lambda: timed(lambda: together(pipes, bare, [(root, windows)] * 2)),
        }
        if args.fair:
            candidates = {name: candidates[name] for name in ("medray", FAIR, "bare")}
        seconds = interleave(candidates, args.rounds)
        for name, took in seconds.items():
            median = statistics.median(took)
            print(f"{name:22} {median:7.2f} s, {median / args.volumes:.2f} s a volume")
        for name in list(seconds)[1:]:
            ratio(seconds, "medray", name)
        if args.fair:
            fair(root, made, numbers)
        else:
            predict("fp32")
            compare(root, made, numbers)
        for pipe in pipes:
            pipe.send(None)


def fair(root: Path, made: dict[str, str], numbers: list[int]) -> None:
    """Fail unless the masks are those of the script in our layout."""
    same = agree(root, made["bf16"], "ours", numbers)
    print(f"voxels equal: {same:.6f}")
    if same < 0.9999:
        raise SystemExit("the masks differ")


def compare(root: Path, made: dict[str, str], numbers: list[int]) -> None:
    """Fail unless the masks agree."""
    same = agree(root, made["bf16"], "ours", numbers)
    near = agree(root, made["bf16"], "torch", numbers)
    exact = agree(root, made["fp32"], "monai", numbers)
    print(f"voxels equal: {same:.6f} and {near:.6f} to torch (bf16, in our layout and in its")
    print(f"own), {exact:.6f} to MONAI (fp32)")
    # An untrained network's classes nearly tie, and layouts round differently in bf16.
    if same < 0.9999 or near < 0.99 or exact < 0.999:
        raise SystemExit("the masks differ")


if __name__ == "__main__":
    main()
