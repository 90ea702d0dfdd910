"""Bulk detection, shard to shard, beside the bare network: `python benchmarks/detect.py`.

medray: the engine's worker in this process, from a shard to committed boxes, with network, grid and
precision of `jobs/lesions.yaml` on volumes of 40 x 80 x 80, or, with `--flat`, of
`jobs/blood-cells.yaml` on pictures of 480 x 640. Bare: that network as a script would load it, in
medray's layout of memory, on a window that lies there, as many times as there are windows. Fused:
the same with its batch norms in its convolutions, as medray runs it. All have one thread; times are
the processor's own, since what is done ahead costs too. Imports are outside of all, the opening of
the model is inside of medray's, where a few pictures weigh it as hundreds would not. Weights are
fresh, and a tenth is the score of nearly every cell: `--least` says from which score on there are
boxes. With `--trained` network and images are those of the job where it has run.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from material import store_samples, written_network
from pairs import interleave, ratio
from safetensors.torch import save

from medray.allocator import keep_freed_memory
from medray.data.tree import channels_last
from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.modalities.ask import forward
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.plan import ImagePlan
from medray.modalities.image.sliding.grid import plan_grid
from medray.modalities.loaded import load_trained
from medray.models.image.centernet import CenterNet
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

DEEP: dict[str, Any] = {"dims": 3, "features": (16, 32, 64), "width": 32, "stride": 2}
FLAT: dict[str, Any] = {"dims": 2}
OPTIONS = {"batch": 1, "held_out": False, "options": {}, "precision": "bf16"}


def balls(shape: tuple[int, ...], channels: int, number: int) -> Sample:
    """Bright balls on a dark field with noise."""
    random = np.random.default_rng(number)
    grid, image = np.indices(shape), np.full(shape, 60.0)
    for _ in range(14):
        at, radius = random.uniform(0, shape), random.uniform(0.05, 0.1) * min(shape)
        far = sum((axis - middle) ** 2 for axis, middle in zip(grid, at, strict=True))
        image[far < radius**2] += 100
    values = image + random.normal(0, 8, (channels, *shape))
    kind = np.uint8 if channels == 3 else np.int16
    row = {"spacing_mm": [1.0] * len(shape), "image_mean": 70.0, "image_std": 30.0}
    return Sample(f"s{number}", row, {"image": np.clip(values, 0, 255).astype(kind)})


def store_network(
    objects: Objects, options: dict[str, Any], patch: tuple[int, ...], least_score: float
) -> None:
    """A package of a network with fresh weights; pictures are answered at half their size."""
    torch.manual_seed(0)
    flat = len(patch) == 2
    classes, channels = (("RBC", "WBC", "Platelets"), 3) if flat else (("lesion",), 1)
    network = CenterNet.build(CenterNet.Options(**options), channels, len(classes), patch)
    plan = ImagePlan(
        dims=len(patch),
        in_channels=channels,
        answers="objects",
        classes=classes,
        patch=patch,
        spacing_mm=(2.0, 2.0) if flat else None,
        batch_size=4,
        channels=(ChannelNorm(),) * channels,
        pool_steps=(),
        frequencies=(1 / len(classes),) * len(classes),
        median_shape=patch,
        samples=1,
    )
    config = {
        "model": {"name": "centernet", **options},
        "task": {"name": "detection", "classes": classes, "least_score": least_score},
        "plan": plan.model_dump(mode="json"),
    }
    weights, none = save(network.state_dict()), dict[str, float]()
    save_model(
        objects, "net", weights=weights, config=config, metrics=none, parents=[], spec="", card=""
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flat", action="store_true", help="pictures, not volumes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=0, help="0: 12 volumes or 192 pictures")
    parser.add_argument("--least", type=float, default=0.1016, help="score of a box")
    parser.add_argument("--trained", default="", help="storage where the job has run")
    args = parser.parse_args()
    options = FLAT if args.flat else DEEP
    shape, patch = ((480, 640), (240, 320)) if args.flat else ((40, 80, 80), (24, 48, 48))
    count = args.images or (192 if args.flat else 12)
    windows = 1 if args.flat else len(plan_grid(shape, patch, 0.5))
    keep_freed_memory()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        objects, channels = Objects(args.trained or folder), 3 if args.flat else 1
        if args.trained:
            name, of = ("blood-cells",) * 2 if args.flat else ("lesions", "lesions-test")
            name, data = f"{name}-net", open_dataset(objects, of)
            chosen = data.samples["sample_id"].to_pylist()[:count]
        else:
            name = "net"
            store_network(objects, options, patch, args.least)
            made = [balls(shape, channels, at) for at in range(min(count, 24))]
            samples = [replace(made[at % 24], id=f"s{at}") for at in range(count)]
            data = store_samples(objects, "d", samples)
            chosen = data.samples["sample_id"].to_pylist()
        written = written_network(Path(objects.url.removeprefix("file://")), name)
        networks = {
            "bare": written.to(memory_format=channels_last(len(patch))),
            "fused": load_trained(objects, name).network,
        }
        window = torch.randn(1, channels, *patch).to(torch.bfloat16)
        window = window.contiguous(memory_format=channels_last(len(patch)))
        runs, told = iter(range(10**6)), list[float]()

        def medray() -> float:
            planned = plan_shards(data, "predict", identity={}, select={"sample_id": chosen})
            output = f"out-{time.time_ns()}-{next(runs)}"
            spec = WorkerSpec(OPERATION, OPTIONS | {"model": name}, objects, output)
            receipts: list[Receipt] = []
            began = time.process_time()
            run_inline(spec, planned.units, receipts.append, threading.Event())
            took = time.process_time() - began
            if any(one.state != "committed" or one.quarantined for one in receipts):
                raise SystemExit(f"not all committed: {receipts}")
            commits = Ledger(objects, spec.dataset).committed([one.id for one in planned.units])
            made = publish(
                objects,
                spec.dataset,
                kind="bench",
                spec="",
                commits=commits,
                refused=[],
                parents=[],
            )
            told.append(np.mean([len(one) for one in made.samples["objects"].to_pylist()]))
            return took

        def alone(name: str) -> float:
            began = time.process_time()
            for _ in range(count * windows):
                forward(networks[name], window, "bf16")
            return time.process_time() - began

        each = {name: partial(alone, name) for name in networks}
        seconds = interleave({"medray": medray, **each}, args.rounds)
        for name, took in seconds.items():
            print(f"{name:8} {1000 * statistics.median(took) / count:6.1f} ms an image")
        for name in networks:
            ratio(seconds, "medray", name)
        print(f"boxes an image: {told[0]:.1f}")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
