"""What benchmarks run on: CT-like volumes as a dataset, and a trained model's package.

The network is not trained: where a window goes and what it costs do not depend on its weights.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from medray.modalities.image.build import build_network
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.plan import ImagePlan
from medray.models.image.unet import UNet
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import open_model, save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.forms.ome import images
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

FEATURES = (16, 32, 64, 128)
CLASSES = ("background", "organ", "lesion")
MEAN, STD = 40.0, 250.0


def ct_like(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Smooth structure with noise, int16, (1, Z, Y, X)."""
    waves = [np.sin(np.arange(n) / 9) for n in shape]
    smooth = 500 * waves[0][:, None, None] * waves[1][:, None] * waves[2]
    noise = np.random.default_rng(seed).normal(MEAN, 30, shape)
    return (smooth + noise).astype(np.int16)[None]


def store_samples(objects: Objects, name: str, samples: Sequence[Sample]) -> Dataset:
    """A dataset of images in one unit."""
    ledger = Ledger(objects, name)
    attempt = ledger.begin("u0")
    writer = ShardWriter(objects, ledger.shard_path(attempt), images(labels=False))
    for sample in samples:
        writer.add(sample)
    commit = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), len(samples), []))
    return publish(
        objects,
        name,
        kind="bench",
        spec="",
        commits=Commits.of([commit]),
        refused=[],
        parents=[],
    )


def store_volumes(
    objects: Objects, name: str, shapes: Sequence[tuple[int, int, int]], per_unit: int = 1
) -> Dataset:
    """A dataset of one volume for each shape; later steps get a unit for each `per_unit`."""
    ledger = Ledger(objects, name)
    commits = []
    for first in range(0, len(shapes), per_unit):
        attempt = ledger.begin(f"u{first}")
        writer = ShardWriter(objects, ledger.shard_path(attempt), images(labels=True))
        group = shapes[first : first + per_unit]
        for number, shape in enumerate(group, first):
            row = {"spacing_mm": [1.0, 1.0, 1.0], "image_mean": MEAN, "image_std": STD}
            writer.add(Sample(f"v{number}", row, {"image": ct_like(shape, number)}))
        record = Commit(f"u{first}", attempt.id, writer.finish(), len(group), [])
        commits.append(ledger.commit(attempt, record))
    return publish(
        objects, name, kind="bench", spec="", commits=Commits.of(commits), refused=[], parents=[]
    )


def written_network(root: Path, name: str = "net") -> nn.Module:
    """A package's network as any script would load it, without what medray does to it."""
    package = open_model(Objects(str(root)), name)
    network = build_network(
        package.config["model"], ImagePlan.model_validate(package.config["plan"])
    )
    weights = {name: torch.from_numpy(value) for name, value in package.weights().items()}
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def store_unet(
    objects: Objects,
    name: str,
    patch: tuple[int, int, int],
    features: tuple[int, ...] = FEATURES,
    networks: int = 1,
    **task: object,
) -> None:
    """A package of 3-D U-Nets with fresh weights; `task` are options of the segmentation."""
    options = UNet.Options(dims=3, features=features)
    made = [UNet.build(options, 1, len(CLASSES), patch) for _ in range(networks)]
    weights = made[0].state_dict()
    plan = ImagePlan(
        dims=3,
        in_channels=1,
        answers="place",
        classes=CLASSES,
        patch=patch,
        batch_size=2,
        channels=(ChannelNorm(scheme="zscore"),),
        pool_steps=(),
        frequencies=(0.8, 0.1, 0.1),
        median_shape=patch,
        samples=1,
    )
    config = {
        "model": {"name": "unet", "dims": 3, "features": features},
        "task": {"name": "segmentation", "classes": CLASSES, **task},
        "plan": plan.model_dump(mode="json"),
    }
    if networks > 1:
        weights = {f"{n}.{k}": v for n, one in enumerate(made) for k, v in one.state_dict().items()}
        planned = config.pop("plan")
        members = [{"value": number, "plan": planned} for number in range(networks)]
        config["folds"] = {"column": "", "members": members}
    save_model(
        objects,
        name,
        weights=save(weights),
        config=config,
        metrics={},
        parents=[],
        spec="",
        card="",
    )
