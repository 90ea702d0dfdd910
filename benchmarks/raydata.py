"""Bulk segmentation by medray's pool beside Ray Data as its documentation does batch inference.

The same Ray, volumes, weights and grid of windows, two actors of one CPU each. The reference reads
.npy files into Ray's object store, maps a class with MONAI's sliding window (fp32, its default)
over them and writes .npy; nothing of it is checked, recorded or could be resumed. medray goes from
shards to committed shards in bf16. Start of the actors is inside of both times.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import ray
import torch
from material import MEAN, STD, ct_like, store_unet, store_volumes, written_network
from monai.inferers import sliding_window_inference
from pairs import interleave, ratio
from ray.data import ActorPoolStrategy, DataContext

from medray.cluster.batch import run_on_ray
from medray.cluster.session import start_local
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.reader import Shard
from medray.storage.store.objects import Objects

PATCH, SHAPE = (64, 96, 96), (96, 192, 192)
OPTIONS = {"batch": 1, "precision": "bf16", "held_out": False, "options": {}}


class Predictor:
    """What a user would write."""

    def __init__(self, root: str) -> None:
        self.network = written_network(Path(root))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        images = torch.from_numpy(batch["data"].astype(np.float32)[:, None])
        with torch.inference_mode():
            logits = sliding_window_inference(
                (images - MEAN) / STD, PATCH, 1, self.network, overlap=0.5, mode="gaussian"
            )
        return {"labels": logits.argmax(1).to(torch.uint8).numpy()}


def ray_data(root: Path, paths: list[str], output: Path) -> float:
    """Seconds of the reference."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.custom_execution_callback_classes = []  # medray's, which ends pools, is not for this
    started = time.perf_counter()
    ray.data.read_numpy(paths, override_num_blocks=len(paths)).map_batches(
        Predictor,
        fn_constructor_args=(str(root),),
        batch_size=1,
        compute=ActorPoolStrategy(size=2),
        num_cpus=1,
    ).write_numpy(str(output), column="labels")
    return time.perf_counter() - started


def medray(objects: Objects, output: str) -> float:
    """Seconds of medray."""
    planned = plan_shards(open_dataset(objects, "ct"), "predict", identity={}, select={})
    spec = WorkerSpec(OPERATION, OPTIONS | {"model": "net"}, objects, output)
    receipts: list[Receipt] = []
    started = time.perf_counter()
    run_on_ray(spec, planned.units, receipts.append, threading.Event(), workers=2)
    took = time.perf_counter() - started
    if any(receipt.state != "committed" or receipt.quarantined for receipt in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    return took


def agreement(objects: Objects, ours: str, theirs: Path) -> float:
    """Share of voxels on which masks agree; files of the reference have no names of their own."""
    units = plan_shards(open_dataset(objects, "ct"), "predict", identity={}, select={}).units
    commits = Ledger(objects, ours).committed([unit.id for unit in units])
    masks = [Shard(objects, one).array(0, "label")[...] for one in commits.pinned()]
    others = [mask for path in theirs.glob("*.npy") for mask in np.load(path)]
    if len(others) != len(masks):
        raise SystemExit(f"{len(others)} masks of {len(masks)}")
    return float(np.mean([max((mask == other).mean() for other in others) for mask in masks]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--volumes", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        objects = Objects(name)
        store_unet(objects, "net", PATCH)
        store_volumes(objects, "ct", [SHAPE] * args.volumes)
        paths = []
        for number in range(args.volumes):
            paths.append(str(root / f"{number}.npy"))
            np.save(paths[-1], ct_like(SHAPE, number))
        count = iter(range(10**6))
        last: dict[str, str] = {}

        def ours() -> float:
            last["medray"] = f"masks{next(count)}"
            return medray(objects, last["medray"])

        def theirs() -> float:
            last["ray data"] = f"npy{next(count)}"
            return ray_data(root, paths, root / last["ray data"])

        # The actors hold two CPUs; the reference's tasks that read and write need another to run.
        with start_local(num_cpus=3, object_store_bytes=10**9):
            seconds = interleave({"medray": ours, "ray data": theirs}, args.rounds)
        for about, took in seconds.items():
            print(f"{about:9} {sorted(took)[len(took) // 2] / args.volumes:.2f} s a volume")
        ratio(seconds, "medray", "ray data")
        same = agreement(objects, last["medray"], root / last["ray data"])
        print(f"voxels equal (bf16 and fp32): {same:.4f}")
        if same < 0.98:
            raise SystemExit("the masks differ")


if __name__ == "__main__":
    main()
