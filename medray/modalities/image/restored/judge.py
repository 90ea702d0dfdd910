"""What a network restores of validation images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from medray.data.chance import Chance
from medray.data.order import seed_of
from medray.modalities.ask import forward, require_finite
from medray.modalities.base import Precision
from medray.modalities.image.cases import Cases
from medray.modalities.image.plan import ImagePlan
from medray.modalities.image.restored.loader import hidden_of
from medray.modalities.image.spatial import cut, draw_pose, window_of
from medray.models.base import Network
from medray.tasks.restoring import RestoringTask

MOST = 8  # patches of a case
SEED = 0  # of where they lie and what is hidden: the same each time


@dataclass(frozen=True)
class Restored:
    """Patches of a case, float32 (patches, C, *patch); `hidden` is bool (patches, 1, *patch)."""

    images: np.ndarray
    hidden: np.ndarray
    answers: np.ndarray


def judge_restored(
    network: Network,
    cases: Cases,
    chosen: Sequence[int],
    task: RestoringTask,
    plan: ImagePlan,
    device: torch.device,
    precision: Precision,
) -> Iterator[list[float]]:
    """See Modality.judge; a case's row is the mean over its patches."""
    for case in chosen:
        found = restored(network, cases, case, task, plan, device, precision)
        answers = np.where(found.hidden, found.answers, np.nan)
        pairs = zip(answers, found.images, strict=True)
        yield np.mean([task.judge(answer, image) for answer, image in pairs], 0).tolist()


def restored(
    network: Network,
    cases: Cases,
    case: int,
    task: RestoringTask,
    plan: ImagePlan,
    device: torch.device,
    precision: Precision,
) -> Restored:
    """Patches of a case, as many as it holds beside each other, up to MOST.

    Raises:
        DataError: what is restored is NaN or Inf (code "nonfinite-output").
    """
    shape, spacing = cases.shapes[case], cases.rows[case].get("spacing_mm")
    inner = plan.network_shape(shape, spacing)
    count = min(max(round(prod(inner) / prod(plan.patch)), 1), MOST)
    patches = []
    for number in range(count):
        chance = Chance(seed_of(SEED, case, number))
        pose = draw_pose(chance, plan.patch, shape, cases.ratio(case), None)
        box = window_of(pose, plan.patch, shape)
        start = [axis.start for axis in box]
        image = cases.image(case, box)
        patches.append(cut(pose, image, None, start, plan.patch, 0, "zeros")[0])
    images = torch.stack(patches)
    hidden = hidden_of(task, plan.patch, [seed_of(SEED, case, one, 1) for one in range(count)])
    answers = forward(network, images.masked_fill(hidden, 0.0).to(device), precision)
    require_finite(answers)
    return Restored(images.numpy(), hidden.numpy(), answers.float().cpu().numpy())
