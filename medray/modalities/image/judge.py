"""What a network answers to validation images: masks by sliding windows, or whole ones together."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch

from medray.modalities.ask import ask
from medray.modalities.base import Precision
from medray.modalities.image.cases import Cases
from medray.modalities.image.loader import whole_image
from medray.modalities.image.plan import ImagePlan
from medray.modalities.image.predictor import labels_of
from medray.modalities.image.restored.judge import judge_restored
from medray.modalities.image.sliding.infer import predict_volume
from medray.models.base import Network
from medray.models.image.base import ImageNetwork
from medray.storage.shards.samples import Slabs
from medray.tasks.base import Task
from medray.tasks.restoring import RestoringTask

OVERLAP = 0.25  # of windows; prediction takes 0.5: here the verdict is wanted soon
SLAB_DEPTH = 64  # planes read at a time
TOGETHER = 32  # whole images at once


def judge(
    network: Network,
    cases: Cases,
    chosen: Sequence[int],
    task: Task,
    plan: ImagePlan,
    device: torch.device,
    precision: Precision,
) -> Iterator[list[float]]:
    """See Modality.judge."""
    if task.answers == "restored":
        restoring = cast("RestoringTask", task)
        yield from judge_restored(network, cases, chosen, restoring, plan, device, precision)
        return
    if task.answers == "place":
        for case in chosen:
            mask = _mask(network, cases, case, task, plan, device, precision)
            yield task.judge(mask, cases.truth(case))
        return
    for start in range(0, len(chosen), TOGETHER):
        some = chosen[start : start + TOGETHER]
        images = torch.stack([whole_image(cases.image(case), plan.patch) for case in some])
        for answer in ask(network, images.to(device), task, precision):
            yield task.judge(answer, None)


def _mask(
    network: Network,
    cases: Cases,
    case: int,
    task: Task,
    plan: ImagePlan,
    device: torch.device,
    precision: Precision,
) -> np.ndarray:
    shape = cases.shapes[case]
    inner = plan.network_shape(shape, cases.rows[case].get("spacing_mm"))
    slabs = predict_volume(
        network,
        slabs_of(cases, case, plan.inputs),
        roi=plan.window(inner, cast("ImageNetwork", network).divisor),
        overlap=OVERLAP,
        precision=precision,
        threshold=task.channel_threshold,
        network_shape=None if inner == shape else inner,
        device=device,
    )
    return np.concatenate(list(labels_of(task, slabs)))


def slabs_of(cases: Cases, case: int, channels: int) -> Slabs:
    """A case as `predict_volume` takes it; already normalised."""
    shape = cases.shapes[case]
    boxes = [
        (slice(start, min(start + SLAB_DEPTH, shape[0])),)
        for start in range(0, shape[0], SLAB_DEPTH)
    ]
    return Slabs(
        shape=(channels, *shape),
        dtype=np.dtype(np.float32),
        axis=1,
        parts=(cases.image(case, box).numpy() for box in boxes),
    )
