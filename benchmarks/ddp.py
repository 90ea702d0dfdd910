"""Two ranks on Ray Train beside torchrun: steps per second of the same network.

Ours reads committed shards, draws patches, mirrors and shuffles them, keeps a loss curve and
checkpoints; torchrun's script turns over one resident batch. Network, loss, optimiser, batch,
precision and threads are the same.

    python benchmarks/ddp.py [rounds]
"""

import json
import subprocess
import sys
import tempfile

import numpy as np
from pairs import interleave, ratio

PATCH, BATCH, STEPS, WARM = (32, 48, 32), 8, 40, 5
MODEL = {"name": "unet", "features": [16, 32, 64, 128], "dims": 3}
TASK = {"name": "segmentation", "classes": ["background", "a", "b"], "patch": list(PATCH)}

OURS = """
import sys
from ddp import setup
from medray.cluster.session import start_local
from medray.cluster.train import train_on_ray
with start_local(num_cpus=2):
    rows = train_on_ray(setup(sys.argv[1], sys.argv[2])).rows
print(sum(row["seconds"] for row in rows[5:]))
"""


def setup(root: str, run: str):
    """The training that is measured; its data are made where they are not there yet."""
    from medray.engine.assemble import TrainSetup
    from medray.engine.fingerprint import fingerprint
    from medray.engine.plan import make_plan
    from medray.errors import SpecError
    from medray.spec.training import AugmentSettings, TrainSettings
    from medray.storage.datasets import open_dataset, publish
    from medray.storage.ledger import Commit, Ledger
    from medray.storage.objects import Objects
    from medray.storage.samples import Sample
    from medray.storage.shards import ShardWriter
    from medray.tasks import build_task

    objects = Objects(root)
    try:
        data = open_dataset(objects, "noise")
    except SpecError:
        ledger = Ledger(objects, "noise")
        attempt = ledger.begin("u0")
        writer = ShardWriter(objects, ledger.shard_path(attempt))
        generator = np.random.default_rng(0)
        for number in range(32):
            shape = tuple(int(n) for n in generator.integers((33, 45, 30), (40, 55, 40)))
            image = generator.integers(0, 1000, (1, *shape)).astype(np.int16)
            label = generator.integers(0, 3, shape).astype(np.uint8)
            row = {"split": "train"}
            writer.add(Sample(f"s{number}", row, {"image": image, "label": label}))
        commit = Commit("u0", attempt.id, writer.finish(), 32, [])
        commit = ledger.commit(attempt, commit)
        data = publish(
            objects, "noise", kind="bench", spec="", commits=[commit], refused=[], parents=[]
        )
    off = {
        f"{name}_chance": 0
        for name in ("spatial", "noise", "blur", "brightness", "contrast", "lowres", "gamma")
    }
    settings = TrainSettings(
        epochs=1,
        steps_per_epoch=STEPS,
        batch_size=BATCH,
        workers=2,
        precision="bf16",
        augment=AugmentSettings(**off),
    )
    task = build_task(TASK)
    plan = make_plan(fingerprint(data, data.select({"split": "train"}), task), task)
    return TrainSetup(objects, data.reference, TASK, MODEL, plan, settings, f"runs/{run}")


def torchrun_rank() -> None:
    """One rank of the plain script."""
    import time

    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    from medray.models import MODELS
    from medray.tasks import build_task

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    kind, options = MODELS.get("unet"), {k: v for k, v in MODEL.items() if k != "name"}
    net = kind.build(kind.Options.model_validate(options), 1, 3, PATCH)
    net = DistributedDataParallel(net, gradient_as_bucket_view=True)
    task = build_task(TASK)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    image = torch.randn(BATCH // 2, 1, *PATCH)
    label = torch.randint(0, 3, (BATCH // 2, *PATCH))
    for step in range(STEPS):
        if step == WARM:
            started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(image)
        task.loss(logits, label).mean().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 12)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    if dist.get_rank() == 0:
        print(time.perf_counter() - started)
    dist.destroy_process_group()


def _seconds(command: list[str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = __file__.rpartition("/")[0] or "."
    with tempfile.TemporaryDirectory() as root:
        count = iter(range(1000))

        def ours() -> float:
            code = f"import sys; sys.path.insert(0, {folder!r})\n{OURS}"
            return _seconds([sys.executable, "-c", code, root, str(next(count))])

        def torchrun() -> float:
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
            return _seconds([sys.executable, *launcher, __file__, "rank"])

        seconds = interleave({"medray": ours, "torchrun": torchrun}, rounds)
    print(json.dumps({name: [round(s, 2) for s in each] for name, each in seconds.items()}))
    ratio(seconds, "medray", "torchrun")


if __name__ == "__main__":
    torchrun_rank() if sys.argv[1:2] == ["rank"] else main()
