"""Two ranks on Ray Train beside torchrun: steps per second of the same training.

Network, initial weights, loss, optimiser, batches, bf16 and one thread a rank are the same, so the
losses must be too. torchrun's script (reference/torchrun_ddp.py) holds its batches in memory before
it begins; medray reads samples from committed shards, which it then keeps decoded, draws patches of
them on a thread that shares the rank's core, and writes a loss curve. Steps alone are timed, after
the first few: neither start-up nor the checkpoint at the end.

With --augment a third candidate does the augmentation that jobs have by default.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pairs import interleave, ratio

PATCH, BATCH, WARM, CHECKED = (32, 48, 32), 8, 5, 10
MODEL = {"name": "unet", "features": [16, 32, 64, 128], "dims": 3}
TASK = {"name": "segmentation", "classes": ["background", "a", "b"]}
REFERENCE = Path(__file__).parent / "reference" / "torchrun_ddp.py"


def setup(root: str, run: str, steps: int, *, augment: bool):
    """The training that is measured; its data are made where they are not there yet."""
    from medray.engine.training.setup import TrainSetup
    from medray.errors import SpecError
    from medray.modalities.image.options import ImagePlanOptions
    from medray.modalities.image.plan import make_plan
    from medray.modalities.image.survey import fingerprint
    from medray.spec.training import (
        OptimiserSettings,
        ScheduleSettings,
        TrainSettings,
    )
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects
    from medray.tasks import build_task

    objects = Objects(root)
    try:
        data = open_dataset(objects, "noise")
    except SpecError:
        data = store_noise(objects)
    settings = TrainSettings(
        epochs=1,
        steps_per_epoch=steps,
        batch_size=BATCH,
        workers=2,
        precision="bf16",
        optimiser=OptimiserSettings(lr=1e-3, weight_decay=0),
        schedule=ScheduleSettings(name="constant", warmup=0),
        augment={} if augment else None,
    )
    task = build_task(TASK)
    look = fingerprint(data, data.select({"split": "train"}), task)
    plan = make_plan(look, task, given=ImagePlanOptions(patch=PATCH))
    return TrainSetup(objects, data.reference, TASK, MODEL, plan, settings, f"runs/{run}")


def store_noise(objects: Any):
    """A dataset of 32 small volumes with random labels."""
    from medray.storage.catalog.commit import Commit
    from medray.storage.catalog.commits import Commits
    from medray.storage.catalog.ledger import Ledger
    from medray.storage.catalog.publish import publish
    from medray.storage.shards.forms.ome import images
    from medray.storage.shards.samples import Sample
    from medray.storage.shards.writer import ShardWriter

    ledger = Ledger(objects, "noise")
    attempt = ledger.begin("u0")
    writer = ShardWriter(objects, ledger.shard_path(attempt), images(labels=True))
    generator = np.random.default_rng(0)
    for number in range(32):
        shape = tuple(int(n) for n in generator.integers((33, 49, 33), (40, 55, 40)))
        image = generator.integers(0, 1000, (1, *shape)).astype(np.int16)
        label = generator.integers(0, 3, shape).astype(np.uint8)
        writer.add(Sample(f"s{number}", {"split": "train"}, {"image": image, "label": label}))
    commit = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), 32, []))
    return publish(
        objects,
        "noise",
        kind="bench",
        spec="",
        commits=Commits.of([commit]),
        refused=[],
        parents=[],
    )


def dump(root: str, folder: Path, steps: int) -> None:
    """What the reference starts from: medray's initial weights and its batches, rank by rank."""
    from safetensors.torch import save_file

    from medray.engine.training.ranks import World
    from medray.engine.training.setup import assemble

    chosen = setup(root, "dump", steps, augment=False)
    for rank in range(2):
        world = World()
        world.rank, world.size = rank, 2
        parts = assemble(chosen, world)
        batches = {}
        for step in range(steps):
            (batch,) = parts.loader.batch(step).parts
            batches[f"image{step}"] = batch.inputs.contiguous()
            batches[f"target{step}"] = batch.target.contiguous()
        save_file(batches, folder / f"rank{rank}.safetensors")
    save_file(parts.objective.networks["model"].state_dict(), folder / "weights.safetensors")
    optimiser = chosen.settings.optimiser
    given = {
        "options": {key: value for key, value in MODEL.items() if key != "name"},
        "classes": len(chosen.plan.classes),
        "patch": chosen.plan.patch,
        "task": TASK,
        "frequencies": chosen.plan.frequencies,
        "lr": optimiser.lr,
        "betas": optimiser.betas,
        "clip_norm": chosen.settings.clip_norm,
        "warm": WARM,
    }
    (folder / "network.json").write_text(json.dumps(given))


def ours(root: str, run: str, steps: int, *, augment: bool) -> None:
    """Train by medray in this process's Ray; prints as the reference does."""
    from medray.cluster.session import start_local
    from medray.cluster.train import train_on_ray

    with start_local(num_cpus=2):
        (result,) = train_on_ray([setup(root, run, steps, augment=augment)])
    seconds = sum(row["seconds"] for row in result.rows[WARM:])
    print(json.dumps({"seconds": seconds, "losses": [row["loss"] for row in result.rows]}))


def said(command: list[str]) -> dict[str, Any]:
    """Run a command; the JSON on the last line it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--augment", action="store_true")
    parser.add_argument("--ours", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        root, run, kind = args.ours
        ours(root, run, args.steps, augment=kind == "augmented")
        return
    curves: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        root, folder = f"{name}/store", Path(name)
        dump(root, folder, args.steps)
        runs = iter(range(10**6))

        def medray(kind: str) -> float:
            mine = ["--ours", root, f"{kind}-{next(runs)}", kind, "--steps", str(args.steps)]
            found = said([sys.executable, __file__, *mine])
            curves[kind] = found["losses"]
            return float(found["seconds"])

        def torchrun() -> float:
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
            found = said([sys.executable, *launcher, str(REFERENCE), name])
            curves["torchrun"] = found["losses"]
            return float(found["seconds"])

        candidates = {"medray": lambda: medray("plain"), "torchrun": torchrun}
        if args.augment:
            candidates["medray, augmented"] = lambda: medray("augmented")
        seconds = interleave(candidates, args.rounds)
    for about, took in seconds.items():
        print(f"{about:18} {(args.steps - WARM) / sorted(took)[len(took) // 2]:6.2f} steps/s")
    ratio(seconds, "medray", "torchrun")
    if args.augment:
        ratio(seconds, "medray, augmented", "torchrun")
    pairs = list(zip(curves["plain"], curves["torchrun"], strict=True))[:CHECKED]
    apart = max(abs(a - b) for a, b in pairs)
    print(f"losses of the first {CHECKED} steps differ by {apart:.1e} at most")
    if apart > 1e-4:
        raise SystemExit("the two did not train alike")


if __name__ == "__main__":
    main()
