"""The quick verdict on a network while it trains, shared by the ranks."""

import torch

from medray.data.cases import Cases
from medray.engine.training.ranks import World
from medray.modalities.base import Modality, Precision
from medray.modalities.plan import Plan
from medray.models.base import Network
from medray.tasks.base import Task


def validate(
    network: Network,
    cases: Cases,
    modality: Modality,
    task: Task,
    plan: Plan,
    world: World,
    *,
    precision: Precision = "fp32",
    together: bool = False,
) -> dict[str, float]:
    """Metrics of the validation cases; the same on every rank and for any number of ranks.

    Args:
        network: with the weights to be judged; left in the mode that it was in.
        cases: all of them; rank r takes every size-th from r on.
        modality: brings the cases to the network.
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
        judged = modality.judge(network, cases, mine, task, plan, world.device, precision)
        for case, row in zip(mine, judged, strict=True):
            table[case] = torch.tensor(row, dtype=torch.float64)
    finally:
        network.train(was_training)
    # A sum of zeros and one value is that value, NaN included: no rank's rounding comes in.
    whole = table if together else world.total(table)
    return task.summarise(whole.numpy(), None if targets is None else targets.numpy())
