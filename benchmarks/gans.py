"""Steps a second of the objective `gan` beside the steps by hand, on images of 28 x 28.

"by hand" is what a script does with a generator, a critic and two optimisers: no hands, no curve,
no look-out for collapse, no watch over NaN. Its batches come from the same loader, its noise from
the same seeds, and it must have the same losses. A pair is ten steps of each, in turn; one thread,
fp32.
"""

import argparse
import tempfile
from typing import Any

import numpy as np
from objectives import PAIR, beside_hand

IMAGES, SIZE, BATCH = 512, 28, 64
TASK = {"name": "synthesis", "classes": ["even", "odd"]}
MODEL = {"name": "dcgan", "dims": 2, "features": [16, 32, 64]}


def setup(root: str, run: str, steps: int):
    """The training of a run; its data are made where they are not there yet."""
    from medray.engine.training.setup import TrainSetup
    from medray.errors import SpecError
    from medray.modalities.image import Images
    from medray.modalities.image.options import ImagePlanOptions
    from medray.modalities.plan import Wanted
    from medray.spec.base import Plugin
    from medray.spec.training import TrainSettings
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects
    from medray.tasks import build_task

    objects = Objects(root)
    try:
        data = open_dataset(objects, "noise")
    except SpecError:
        data = store(objects)
    settings = TrainSettings(
        epochs=1,
        steps_per_epoch=steps,
        batch_size=BATCH,
        workers=1,
        precision="fp32",
        channels_last=False,
        objective=Plugin(name="gan"),
        augment=None,
        checkpoint_every=10**6,
    )
    wanted = Wanted(MODEL, settings, ImagePlanOptions(), "cpu")
    task = build_task(TASK)
    plan = Images().plan(data, data.select({"split": "train"}), task, wanted)
    return TrainSetup(
        objects, data.reference, TASK, MODEL, plan, settings, f"runs/{run}", validation={}
    )


def store(objects: Any):
    """Images of noise, of two classes."""
    from medray.storage.catalog.commit import Commit
    from medray.storage.catalog.commits import Commits
    from medray.storage.catalog.ledger import Ledger
    from medray.storage.catalog.publish import publish
    from medray.storage.shards.forms.ome import images
    from medray.storage.shards.samples import Sample
    from medray.storage.shards.writer import ShardWriter

    generator, ledger = np.random.default_rng(0), Ledger(objects, "noise")
    attempt = ledger.begin("u0")
    writer = ShardWriter(objects, ledger.shard_path(attempt), images(labels=False))
    for number in range(IMAGES):
        image = generator.integers(0, 256, (1, SIZE, SIZE), np.uint8)
        row = {"subject": f"s{number}", "split": "train", "target": number % 2}
        writer.add(Sample(f"s{number:03d}", row, {"image": image}))
    commit = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), IMAGES, []))
    made = Commits.of([commit])
    return publish(objects, "noise", kind="test", spec="", commits=made, refused=[], parents=[])


def by_hand(chosen: Any) -> list[float]:
    """Losses of the generator, of a training written by hand."""
    import torch
    from torch.nn.functional import relu
    from torch.nn.utils import clip_grad_norm_

    from medray.data.order import seed_of
    from medray.engine.training import loop
    from medray.engine.training.optimiser import build_optimiser
    from medray.engine.training.ranks import World
    from medray.engine.training.rate import learning_rate

    parts, settings = loop.assemble(chosen, World()), chosen.settings
    generator, critic = (parts.objective.networks[name] for name in ("model", "critic"))
    mine, theirs = (build_optimiser(one, settings.optimiser) for one in (generator, critic))
    clip = settings.clip_norm or float("inf")
    generator.train()
    losses = []
    for batch in parts.loader.batches(0, settings.steps_per_epoch):
        (part,) = batch.parts
        real, kind = part.inputs, part.target
        torch.manual_seed(seed_of(settings.seed, batch.step, 0))
        rate = learning_rate(
            batch.step, settings.steps_per_epoch, settings.optimiser.lr, settings.schedule
        )
        for group in (*mine.param_groups, *theirs.param_groups):
            group["lr"] = rate
        with torch.no_grad():
            made = generator(generator.noise(kind))
        verdicts = critic(torch.cat([made, real]), torch.cat([kind, kind]))
        passing, found = verdicts.chunk(2)
        (relu(1 + passing) + relu(1 - found)).mean().backward()
        clip_grad_norm_(critic.parameters(), clip)
        theirs.step()
        theirs.zero_grad()
        critic.requires_grad_(False)
        verdict = critic(generator(generator.noise(kind)), kind)
        critic.requires_grad_(True)
        (-verdict).mean().backward()
        clip_grad_norm_(generator.parameters(), clip)
        mine.step()
        mine.zero_grad()
        losses.append(-passing.mean().item())
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    steps = (args.rounds + 2) * PAIR
    with tempfile.TemporaryDirectory() as root:
        chosen = setup(root, "gan", steps)
        beside_hand(chosen, lambda: by_hand(chosen), args.rounds)


if __name__ == "__main__":
    main()
