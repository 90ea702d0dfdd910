"""The quick verdict on a network while it trains, shared by the ranks."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from medray.data.cases import Cases
from medray.data.loader import whole_image
from medray.engine.infer import predict_volume
from medray.engine.plan import Plan
from medray.engine.world import World
from medray.models.base import Network
from medray.storage.samples import Slabs
from medray.tasks.base import Task

OVERLAP = 0.25  # of windows; prediction takes 0.5: here the verdict is wanted soon
SLAB_DEPTH = 64  # planes read at a time
IMAGES = 32  # whole images at once


def validate(
    network: Network,
    cases: Cases,
    task: Task,
    plan: Plan,
    world: World,
    *,
    precision: Literal["fp32", "bf16"] = "fp32",
    together: bool = False,
) -> dict[str, float]:
    """Metrics of the validation cases; the same on every rank and for any number of ranks.

    Args:
        network: with the weights to be judged; left in the mode that it was in.
        cases: all of them; rank r takes every size-th from r on.
        task: makes metrics of them.
        plan: of the training.
        world: the ranks.
        precision: of the forward passes.
        together: every rank takes all cases, because a forward pass needs all ranks (fsdp).

    Raises:
        DataError: the network's output is NaN or Inf (code "nonfinite-output").
    """
    targets = task.targets(cases.rows)
    mine = range(len(cases)) if together else range(world.rank, len(cases), world.size)
    table = torch.zeros(len(cases), task.columns, dtype=torch.float64)
    was_training = network.training
    network.eval()
    try:
        if task.dense:
            for case in mine:
                labels = _predict(network, cases, case, plan, world.device, precision)
                judged = task.judge(labels, cases.label(case).numpy())
                table[case] = torch.tensor(judged, dtype=torch.float64)
        else:
            for start in range(0, len(mine), IMAGES):
                chosen = list(mine[start : start + IMAGES])
                answers = _classify(network, cases, chosen, task, plan, world.device, precision)
                for case, answer in zip(chosen, answers, strict=True):
                    table[case] = torch.tensor(task.judge(answer, None), dtype=torch.float64)
    finally:
        network.train(was_training)
    # A sum of zeros and one value is that value, NaN included: no rank's rounding comes in.
    whole = table if together else world.total(table)
    return task.summarise(whole.numpy(), None if targets is None else targets.numpy())


def _slabs(cases: Cases, case: int, channels: int) -> Slabs:
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


def _predict(
    network: Network,
    cases: Cases,
    case: int,
    plan: Plan,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
) -> np.ndarray:
    shape = cases.shapes[case]
    inner = plan.network_shape(shape, cases.rows[case].get("spacing_mm"))
    slabs = predict_volume(
        network,
        _slabs(cases, case, plan.in_channels),
        roi=plan.window(inner, network.divisor),
        overlap=OVERLAP,
        precision=precision,
        network_shape=None if inner == shape else inner,
        device=device,
    )
    return np.concatenate(list(slabs))


def _classify(
    network: nn.Module,
    cases: Cases,
    chosen: Sequence[int],
    task: Task,
    plan: Plan,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
) -> np.ndarray:
    images = torch.stack([whole_image(cases.image(case), plan.patch) for case in chosen])
    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        logits: Tensor = network(images.to(device))
    return task.probabilities(logits).cpu().numpy()
