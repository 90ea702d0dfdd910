"""How far two sets of images are from each other, by what a trained network sees in them."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from medray.errors import SpecError
from medray.modalities.generation import Model
from medray.modalities.image.loader import whole_image
from medray.modalities.image.normalise import image_statistics
from medray.modalities.image.plan import ImagePlan

TOGETHER = 64


def features(model: Model, images: Iterable[np.ndarray]) -> np.ndarray:
    """What goes into the last linear layer of a classifier, float64 (images, features).

    Args:
        model: the classifier.
        images: as stored, (C, *space).

    Raises:
        SpecError: it is no model of images that ends in a linear layer (code "no-features").
    """
    plan, network = model.plan, model.network
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not isinstance(plan, ImagePlan) or model.task.answers != "sample" or not layers:
        raise SpecError(
            "it is no classifier of images that ends in a linear layer",
            code="no-features",
            about=model.reference,
            hint="name one in `features`, trained on the real images",
        )
    seen: list[Tensor] = []
    hook = layers[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(1)))
    try:
        stream = iter(images)
        while some := list(islice(stream, TOGETHER)):
            with torch.inference_mode():
                network(torch.stack(list(_fitted(plan, some))).to(model.device))
    finally:
        hook.remove()
    return torch.cat(seen).double().cpu().numpy()


def _fitted(plan: ImagePlan, images: list[np.ndarray]) -> Iterator[Tensor]:
    for image in images:
        normalise = plan.normaliser({}, image_statistics([image]))
        yield whole_image(torch.from_numpy(normalise(image)), plan.patch)


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Fréchet distance of two normal distributions fitted to features (Heusel et al. 2017).

    Args:
        one: float64 (images, features).
        other: float64 (images, features).
    """
    means = one.mean(0) - other.mean(0)
    spread, other_spread = (np.atleast_2d(np.cov(part, rowvar=False)) for part in (one, other))
    # The trace of the root of a product of covariances: its eigenvalues are not negative.
    roots = np.sqrt(np.clip(np.linalg.eigvals(spread @ other_spread).real, 0, None)).sum()
    traces = np.trace(spread) + np.trace(other_spread)
    return float(means @ means + traces - 2 * roots)


def kernel_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Squared maximum mean discrepancy of features by the kernel (x·y / features + 1)³, unbiased
    (KID, Bińkowski et al. 2018); below 0 where chance has it so.

    Args:
        one: float64 (images, features), of two images or more.
        other: float64 (images, features), of two images or more.
    """
    width = one.shape[1]

    def kernel(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found: np.ndarray = (left @ right.T / width + 1) ** 3
        return found

    def within(part: np.ndarray) -> float:
        grid = kernel(part, part)
        return float((grid.sum() - np.trace(grid)) / (len(part) * (len(part) - 1)))

    return within(one) + within(other) - 2 * float(kernel(one, other).mean())
