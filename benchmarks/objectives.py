"""Steps a second of objectives: adversarial beside the steps by hand, supervised beside before.

"by hand" is what a script does with two networks and two optimisers: no hands, no curve, no watch
over NaN; its batches come from the same loader, since it is the loop that is measured. It must have
the losses of `adversarial`. Both train in one process, a step each in turn, and a pair is ten steps
of each, so that what comes once in ten steps is in every pair.

With `--base`, a checkout of another build, `supervised` is measured in both: one process a build
trains again and again, in turn with the other; times are of the processor, user and system, of
steps alone. One thread, fp32, a small 3-D U-Net.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock, Semaphore, Thread, current_thread
from typing import Any

import ddp
from pairs import interleave, ratio

HERE = Path(__file__).resolve()
PAIR = 10  # steps of a pair
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


def by_hand(root: str, run: str, **settings: Any) -> list[float]:
    """Losses of the adversarial training, written by hand."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
    from torch.nn.utils import clip_grad_norm_

    from medray.engine.training.loop import assemble
    from medray.engine.training.optimiser import build_optimiser
    from medray.engine.training.ranks import World

    chosen = setup(root, run, **settings)
    parts = assemble(chosen, World())
    network, judge = (parts.objective.networks[name] for name in ("model", "discriminator"))
    network.train()
    clip = chosen.settings.clip_norm
    mine, theirs = (build_optimiser(one, chosen.settings.optimiser) for one in (network, judge))
    losses = []
    for batch in parts.loader.batches(0, chosen.settings.steps_per_epoch):
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
    return losses


class InTurns:
    """A loader whose batches come when the other's step is done; it notes the seconds of each.

    Args:
        loader: of the training.
        mine, other: whose turn it is.
    """

    def __init__(self, loader: Any, mine: Semaphore, other: Semaphore) -> None:
        self._loader, self._mine, self._other = loader, mine, other
        self.seconds: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def batches(self, done: int, total: int) -> Iterator[Any]:
        for batch in self._loader.batches(done, total):
            self._mine.acquire()
            began = time.perf_counter()
            yield batch
            self.seconds.append(time.perf_counter() - began)
            self._other.release()


def adversarial(rounds: int) -> None:
    """Print the ratio to the steps by hand, and how far the losses are apart."""
    from medray.spec.base import Plugin

    steps = (rounds + 2) * PAIR
    asked = {"objective": Plugin(name="adversarial"), "epochs": 1, "steps_per_epoch": steps}
    with tempfile.TemporaryDirectory() as root:
        planned(root)
        chosen = setup(root, "adversarial", **asked)
        beside_hand(chosen, lambda: by_hand(root, "by-hand", **asked), rounds)


def beside_hand(chosen: Any, by_hand: Callable[[], list[float]], rounds: int) -> None:
    """Print the ratio of a training by medray to one by hand, and how far their losses are apart.

    Args:
        chosen: set-up of the training, of (rounds + 2) x PAIR steps.
        by_hand: trains as much on the loader that `assemble` gives it; its losses.
        rounds: pairs.
    """
    import torch

    from medray.engine.training import loop
    from medray.engine.training.ranks import World

    torch.set_num_threads(1)
    name, hand = chosen.settings.objective.name, "by hand"
    whole, turns = loop.assemble, {name: Semaphore(1), hand: Semaphore(0)}
    loaders: dict[str, InTurns] = {}
    one_at_a_time = Lock()

    def assemble(setup: Any, world: Any) -> Any:
        own = current_thread().name
        with one_at_a_time:  # torch's seed is of the process
            parts = whole(setup, world)
        (other,) = turns.keys() - {own}
        loaders[own] = InTurns(parts.loader, turns[own], turns[other])
        return replace(parts, loader=loaders[own])

    losses: dict[str, list[float]] = {}
    steps = (rounds + 2) * PAIR

    def ours() -> None:
        losses[name] = [row["loss"] for row in loop.fit(chosen, World()).rows]

    def theirs() -> None:
        losses[hand] = by_hand()

    loop.assemble = assemble
    threads = [
        Thread(target=train, name=own) for own, train in zip(turns, (ours, theirs), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loop.assemble = whole
    seconds = {
        own: [sum(loader.seconds[at : at + PAIR]) for at in range(PAIR, steps - PAIR, PAIR)]
        for own, loader in loaders.items()
    }
    for own, took in seconds.items():
        print(f"{own:12} {PAIR / sorted(took)[len(took) // 2]:6.2f} steps/s")
    ratio(seconds, name, hand)
    pairs = zip(losses[name], losses[hand], strict=True)
    apart = max(abs(one - other) for one, other in list(pairs)[: ddp.CHECKED])
    print(f"losses of the first {ddp.CHECKED} steps differ by {apart:.1e} at most")
    if apart > 1e-4:
        raise SystemExit("the two did not train alike")


def supervised(rounds: int, base: Path) -> None:
    """Print the ratio to another build."""
    ours, before = Build(HERE.parent.parent), Build(base.resolve())
    seconds = interleave({"supervised": ours.train, "before": before.train}, rounds)
    for build in (ours, before):
        build.end()
    ratio(seconds, "supervised", "before")
    if ours.losses != before.losses:
        raise SystemExit("the two builds did not train alike")


class Build:
    """A process of a checkout that trains when it is told to."""

    def __init__(self, path: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(HERE), "--child"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, env=environment, text=True, cwd=path
        )
        self.losses: list[float] = []

    def train(self) -> float:
        """Seconds of a training."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("train\n")
        stdin.flush()
        seconds, self.losses = json.loads(stdout.readline())
        return float(seconds)

    def end(self) -> None:
        """Let it go."""
        self.process.communicate()


def child() -> None:
    """Train for every line of the standard input."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        for number, _ in enumerate(sys.stdin):
            print(json.dumps(trained(root, f"run-{number}")), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--base", type=Path, help="checkout of the build before")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child()
        return
    adversarial(args.rounds)
    if args.base:
        supervised(args.rounds // 3, args.base)


if __name__ == "__main__":
    main()
