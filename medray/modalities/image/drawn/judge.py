"""Images drawn while a training goes on, beside those that were held out."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from medray.data.order import seed_of
from medray.errors import DataError
from medray.modalities.image.cases import Cases
from medray.modalities.image.loader import whole_image
from medray.modalities.image.plan import ImagePlan
from medray.models.base import Network
from medray.models.generator import Generator
from medray.tasks.base import Task

TOGETHER = 64
SEED = 0  # of what is drawn while it is judged: the same noise each time


def judged(
    network: Network,
    cases: Cases,
    chosen: Sequence[int],
    task: Task,
    plan: ImagePlan,
    device: torch.device,
) -> Iterator[list[float]]:
    """See Modality.judge: for each case an image of its class is drawn."""
    classes = cast("Tensor", task.targets(cases.rows)).numpy()
    for start in range(0, len(chosen), TOGETHER):
        some = chosen[start : start + TOGETHER]
        drawn = made(network, [seed_of(SEED, case) for case in some], classes[list(some)], device)
        for case, answer in zip(some, drawn, strict=True):
            yield task.judge(answer, whole_image(cases.image(case), plan.patch).numpy())


def made(
    network: Network, seeds: Sequence[int], kinds: Sequence[int] | np.ndarray, device: torch.device
) -> np.ndarray:
    """Normalised images (B, C, *space), each a function of its seed and class.

    Args:
        network: in evaluation mode, on `device`.
        seeds: one for each.
        kinds: class of each.
        device: of the network.

    Raises:
        DataError: one is NaN or Inf (code "nonfinite-output").
    """
    chance = cast("Generator", network).chance
    noise = np.stack(
        [np.random.Generator(np.random.Philox(key=one)).standard_normal(chance) for one in seeds]
    )
    with torch.inference_mode():
        found: np.ndarray = (
            network(
                {
                    "noise": torch.from_numpy(noise.astype(np.float32)).to(device),
                    "kind": torch.as_tensor(np.asarray(kinds), dtype=torch.long, device=device),
                }
            )
            .float()
            .cpu()
            .numpy()
        )
    if not np.isfinite(found).all():
        raise DataError("an image that was drawn is NaN or Inf", code="nonfinite-output")
    return found
