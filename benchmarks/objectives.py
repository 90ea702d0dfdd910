"""Steps a second of objectives: adversarial beside the steps by hand, supervised beside before.

"by hand" is what a script does with two networks and two optimisers: no hands, no curve, no watch
over NaN; its batches come from the same loader, since it is the loop that is measured. It must have
the losses of `adversarial`. With `--base`, a checkout of another build, `supervised` is measured in
both. One process a build trains again and again, in turn with the other; times are of the
processor, user and system, of steps alone. One thread, fp32, a small 3-D U-Net.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import ddp
from pairs import interleave, ratio

HERE = Path(__file__).resolve()
EPOCHS, STEPS = 3, 20  # the first epoch warms up, the last ends with a checkpoint
PATCH = (16, 16, 16)
MODEL = {"name": "unet", "features": [4, 8], "dims": 3}
Timed = tuple[float, list[float]]


@cache
def planned(root: str):
    """A training of `ddp`, smaller."""
    ddp.PATCH, ddp.MODEL = PATCH, MODEL
    return ddp.setup(root, "", STEPS, augment=False)


def setup(root: str, run: str, **settings: Any):
    """The training of a run."""
    made = planned(root)
    given = {"epochs": EPOCHS, "batch_size": 4, "workers": 1, "precision": "fp32"}
    given |= {"checkpoint_every": 10**6} | settings
    settled = made.settings.model_copy(update=given)
    return replace(made, settings=settled, validation={}, run=f"runs/{run}")


def trained(root: str, run: str, **settings: Any) -> Timed:
    """Seconds of the processor, and losses, of a training by medray."""
    from medray.engine.training.loop import fit
    from medray.engine.training.ranks import World

    marks: list[float] = []
    world = World(report=lambda _: marks.append(time.process_time()))
    result = fit(setup(root, run, **settings), world)
    return marks[-2] - marks[0], [row["loss"] for row in result.rows]


def by_hand(root: str, run: str, **settings: Any) -> Timed:
    """As `trained`, written by hand."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
    from torch.nn.utils import clip_grad_norm_

    from medray.engine.training.optimiser import build_optimiser
    from medray.engine.training.ranks import World
    from medray.engine.training.setup import assemble

    chosen = setup(root, run, **settings)
    parts = assemble(chosen, World())
    network, judge = (parts.objective.networks[name] for name in ("model", "discriminator"))
    network.train()
    clip = chosen.settings.clip_norm
    mine, theirs = (build_optimiser(one, chosen.settings.optimiser) for one in (network, judge))
    losses, marks = [], []
    for batch in parts.loader.batches(0, EPOCHS * STEPS):
        (part,) = batch.parts
        outputs = network(part.inputs)
        finest = outputs[0] if isinstance(outputs, list) else outputs
        found = finest.softmax(1)
        drawn = one_hot(part.target, found.shape[1]).movedim(-1, 1).float()
        one, other = judge(torch.cat([found.detach(), drawn])).chunk(2)
        caught = binary_cross_entropy_with_logits(one, torch.zeros_like(one))
        caught = caught + binary_cross_entropy_with_logits(other, torch.ones_like(other))
        (caught / 2).backward()
        clip_grad_norm_(judge.parameters(), clip)
        theirs.step()
        judge.requires_grad_(False)
        verdict = judge(found)
        judge.requires_grad_(True)
        passing = binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict))
        loss = parts.task.loss(outputs, part.target).mean() + 0.1 * passing
        loss.backward()
        clip_grad_norm_(network.parameters(), clip)
        mine.step()
        theirs.zero_grad()
        mine.zero_grad()
        losses.append(loss.item())
        if (batch.step + 1) % STEPS == 0:
            marks.append(time.process_time())
    return marks[-2] - marks[0], losses


class Build:
    """A process of a checkout that trains when it is told to."""

    def __init__(self, path: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(HERE), "--child"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, env=environment, text=True, cwd=path
        )
        self.losses: dict[str, list[float]] = {}

    def train(self, how: str) -> float:
        """Seconds of a training."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{how}\n")
        stdin.flush()
        seconds, self.losses[how] = json.loads(stdout.readline())
        return float(seconds)

    def end(self) -> None:
        """Let it go."""
        self.process.communicate()


def child() -> None:
    """Train as the lines of the standard input say."""
    import torch

    torch.set_num_threads(1)
    numbers = count()
    with tempfile.TemporaryDirectory() as root:
        for line in sys.stdin:
            run, how = f"run-{next(numbers)}", line.strip()
            train: Callable[..., Timed] = by_hand if how == "by hand" else trained
            more: dict[str, Any] = {}
            if how != "supervised":
                from medray.spec.base import Plugin

                more = {"objective": Plugin(name="adversarial")}
            print(json.dumps(train(root, run, **more)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--base", type=Path, help="checkout of the build before")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child()
        return
    ours = Build(HERE.parent.parent)
    candidates = {name: lambda name=name: ours.train(name) for name in ("adversarial", "by hand")}
    if args.base:
        before = Build(args.base.resolve())
        candidates |= {
            "supervised": lambda: ours.train("supervised"),
            "before": lambda: before.train("supervised"),
        }
    seconds = interleave(candidates, args.rounds)
    ours.end()
    for name, took in seconds.items():
        steps = (EPOCHS - 2) * STEPS
        print(f"{name:12} {steps / sorted(took)[len(took) // 2]:6.2f} steps a processor's second")
    ratio(seconds, "adversarial", "by hand")
    if args.base:
        before.end()
        ratio(seconds, "supervised", "before")
        if ours.losses["supervised"] != before.losses["supervised"]:
            raise SystemExit("the two builds did not train alike")
    pairs = zip(ours.losses["adversarial"], ours.losses["by hand"], strict=True)
    apart = max(abs(one - other) for one, other in list(pairs)[: ddp.CHECKED])
    print(f"losses of the first {ddp.CHECKED} steps differ by {apart:.1e} at most")
    if apart > 1e-4:
        raise SystemExit("the two did not train alike")


if __name__ == "__main__":
    main()
