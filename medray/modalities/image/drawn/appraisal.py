"""What is said of drawn images: whether they are copies, all alike, or unlike the real ones."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medray.modalities.generation import Model
from medray.modalities.image.drawn.features import features as seen
from medray.modalities.image.drawn.features import frechet, kernel_distance
from medray.modalities.image.loader import whole_image
from medray.modalities.image.plan import ImagePlan
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.reader import Shard
from medray.storage.shards.stored import InShard
from medray.tasks.base import Task

MOST = 4000  # images of each kind that are looked at
KERNEL = 1000  # for the kernel distance
FEWEST = 20  # held out, to say how near chance alone brings images to those that were learnt
PLACES = {2: 16, 3: 8}  # along each axis of what is compared
NEAREST = 256  # rows of distances at once
COPIES = 0.05  # share nearer than 1 % of the held out are: a caution above it
LEAST_DIVERSE = 0.5  # of the distance between real images, below which drawn ones are too alike
SHOWN = 16


def appraise(
    drawn: Sequence[Shard],
    plan: ImagePlan,
    task: Task,
    learnt: Dataset,
    indices: Sequence[int],
    seed: int,
    by: Model | None,
) -> dict[str, Any]:
    """See Generation.appraise.

    An image is held against others as means over 16 places along each axis, or 8 in 3-D, of its
    normalised intensities. Those that were learnt from are looked at for copies; how near to them
    an image may come by chance those say that were held out of the training.
    """
    chance = np.random.Generator(np.random.Philox(key=seed))
    own = _some(len(indices), chance)
    kept = set(indices)
    others = [at for at in range(len(learnt)) if at not in kept]
    held = [others[at] for at in _some(len(others), chance)]
    made = _drawn(drawn, chance)
    classes = np.concatenate(
        [cast("Tensor", task.targets(shard.table.to_pylist())).numpy() for shard in drawn]
    )
    groups = {
        "drawn": _thumbs((InShard(*place).array("image")[...] for place in made), plan),
        "learnt": _thumbs((learnt.array(indices[at], "image")[...] for at in own), plan),
        "held out": _thumbs((learnt.array(at, "image")[...] for at in held), plan),
    }
    nearest = _nearest(groups["drawn"], groups["learnt"])
    metrics = {
        "samples": float(len(classes)),
        "nearest": float(np.median(nearest[1])),
        "diversity": _apart(groups["drawn"], chance) / _apart(groups["learnt"], chance),
    }
    if len(held) >= FEWEST:
        usual = _nearest(groups["held out"], groups["learnt"])[1]
        metrics["nearest_held_out"] = float(np.median(usual))
        metrics["copies"] = float((nearest[1] < np.quantile(usual, 0.01)).mean())
    if by is not None:
        metrics |= _by_features(by, made, learnt, [indices[at] for at in own], held, chance)
    closest = nearest[1].argsort(kind="stable")[:SHOWN]
    ids = learnt.columns(["sample_id"])["sample_id"]
    return {
        "metrics": metrics,
        "summary": {
            "metrics": metrics,
            "classes": {
                name: int((classes == number).sum()) for number, name in enumerate(task.classes)
            },
            "closest": [
                {
                    "case": drawn_id(made[at]),
                    "learnt": str(ids[indices[own[nearest[0][at]]]]),
                    "distance": float(nearest[1][at]),
                }
                for at in closest
            ],
            "features": None if by is None else by.reference,
            "cautions": _cautions(metrics),
        },
    }


def drawn_id(place: tuple[Shard, int]) -> str:
    """Of the image at a place."""
    return InShard(*place).id


def _some(count: int, chance: np.random.Generator) -> list[int]:
    """At most MOST of so many, in order."""
    if count <= MOST:
        return list(range(count))
    return sorted(chance.choice(count, MOST, replace=False).tolist())


def _drawn(shards: Sequence[Shard], chance: np.random.Generator) -> list[tuple[Shard, int]]:
    places = [(shard, row) for shard in shards for row in range(shard.table.num_rows)]
    return [places[at] for at in _some(len(places), chance)]


def _thumbs(images: Iterator[np.ndarray], plan: ImagePlan) -> np.ndarray:
    """Means over places of normalised images, float32 (images, values)."""
    normalise, size = plan.normaliser({}), PLACES[plan.dims]
    pool = functional.adaptive_avg_pool3d if plan.dims == 3 else functional.adaptive_avg_pool2d
    found = [
        pool(whole_image(torch.from_numpy(normalise(image)), plan.patch), size).flatten().numpy()
        for image in images
    ]
    return np.stack(found) if found else np.zeros((0, 1), np.float32)


def _nearest(some: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the nearest of others, and how far that is, root mean square over values."""
    squares, at, far = (among**2).sum(1), list[np.ndarray](), list[np.ndarray]()
    for start in range(0, len(some), NEAREST):
        part = some[start : start + NEAREST]
        apart = (part**2).sum(1)[:, None] + squares - 2 * part @ among.T
        at.append(apart.argmin(1))
        far.append(np.clip(apart.min(1), 0, None))
    return np.concatenate(at), np.sqrt(np.concatenate(far) / some.shape[1])


def _apart(thumbs: np.ndarray, chance: np.random.Generator) -> float:
    """Mean distance of two images, by as many pairs as there are images."""
    pairs = thumbs - thumbs[chance.permutation(len(thumbs))]
    return float(np.sqrt((pairs**2).mean(1)).mean())


def _by_features(
    by: Model,
    made: Sequence[tuple[Shard, int]],
    learnt: Dataset,
    own: Sequence[int],
    held: Sequence[int],
    chance: np.random.Generator,
) -> dict[str, float]:
    """Distances of drawn images to those that were learnt, and of held out ones for comparison."""
    real = seen(by, (learnt.array(at, "image")[...] for at in own))
    found = {"": seen(by, (InShard(*place).array("image")[...] for place in made))}
    if len(held) >= FEWEST:
        found["_held_out"] = seen(by, (learnt.array(at, "image")[...] for at in held))
    distances: dict[str, float] = {}
    for name, one in found.items():
        few, some = (part[chance.permutation(len(part))[:KERNEL]] for part in (one, real))
        distances[f"fid{name}"] = frechet(one, real)
        distances[f"kid{name}"] = kernel_distance(few, some)
    return distances


def _cautions(metrics: dict[str, float]) -> list[str]:
    found = []
    if metrics.get("copies", 0.0) > COPIES:
        found.append(
            f"{metrics['copies']:.0%} of the images are nearer to one that was learnt than all but "
            "1 % of the held out ones are: the model gives back what it has learnt"
        )
    if metrics["diversity"] < LEAST_DIVERSE:
        found.append(
            f"the images are too alike: two are {metrics['diversity']:.0%} as far apart as two "
            "real ones"
        )
    return found
