"""DDP as PyTorch's tutorial does it: the script that benchmarks/ddp.py is held against.

    torchrun --standalone --nproc-per-node 2 torchrun_ddp.py FOLDER

FOLDER holds the initial weights, `network.json`, and each rank's batches, all of which are read
into memory first. Prints, as JSON, the losses of every step and the seconds of those after WARM.
"""

import json
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel

from medray.models.image.unet import UNet
from medray.tasks import build_task


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    given = json.loads((folder / "network.json").read_text())
    network = UNet.build(UNet.Options(**given["options"]), 1, given["classes"], given["patch"])
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    network.train()
    wrapped = DistributedDataParallel(network, gradient_as_bucket_view=True)
    task = build_task(given["task"], given["frequencies"])
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=given["lr"], betas=given["betas"], weight_decay=0
    )
    batches = load_file(folder / f"rank{rank}.safetensors")
    steps = len(batches) // 2
    losses = []
    started = 0.0
    for step in range(steps):
        if step == given["warm"]:
            started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            logits = wrapped(batches[f"image{step}"])
        loss = task.loss(logits, batches[f"target{step}"]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), given["clip_norm"])
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    seconds = time.perf_counter() - started
    curve = torch.stack(losses)
    dist.all_reduce(curve)
    if rank == 0:
        curve /= dist.get_world_size()
        print(json.dumps({"seconds": seconds, "losses": curve.tolist()}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
