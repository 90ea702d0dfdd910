"""What networks of folds choose for each other: by samples that each has held out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medray.engine.training.setup import TrainSetup
from medray.modalities import modality_of
from medray.modalities.base import Precision
from medray.storage.catalog.datasets import open_dataset
from medray.tasks import build_task


def chosen_across(
    setups: Sequence[TrainSetup], weights: Sequence[dict[str, Tensor]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Options of the task: of all networks together, and of each; see `Task.chosen_across`.

    Args:
        setups: of each fold's training, which was validated on what it held out.
        weights: that it chose.
    """
    task = build_task(setups[0].task)
    if not task.across:
        return {}, [{} for _ in setups]
    return task.chosen_across([_judged(*one) for one in zip(setups, weights, strict=True)])


def _judged(setup: TrainSetup, weights: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `Task.judge` of what a network has not seen, and targets, both in order."""
    data, plan = open_dataset(setup.objects, setup.data), setup.plan
    task, modality = build_task(setup.task, plan.frequencies), modality_of(setup.model)
    network = modality.build(setup.model, plan)
    network.load_state_dict(weights)
    network.eval().requires_grad_(False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cases = modality.cases(data, data.select(setup.validation or {}), plan, task, setup.settings)
    every = range(len(cases))
    precision: Precision = "fp32" if setup.settings.precision == "fp32" else "bf16"
    rows = modality.judge(network.to(device), cases, every, task, plan, device, precision)
    table = np.array(list(rows), np.float64).reshape(len(cases), task.columns)
    targets = task.targets(cases.rows)
    return table, np.zeros(0) if targets is None else targets.numpy()
