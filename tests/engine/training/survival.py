"""A task from outside whose loss hangs on all samples of a step: Cox's partial likelihood."""

import os
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from medray.tasks.regression import Regression

HERE = Path(__file__).parent


class Cox(Regression):
    """Of a network's first answer as the log hazard; targets are the time, and 1 for an event.

    Breslow 1974: an event's loss is how unlikely it was to be this sample's, among all whose time
    is not shorter.
    """

    name: ClassVar[str] = "toy-cox"
    whole_batch: ClassVar[bool] = True

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See Task."""
        risk, (time, event) = outputs[:, 0], target.T
        at_risk = time[None] >= time[:, None]
        among = torch.where(at_risk, risk[None], -torch.inf).logsumexp(1)
        return (among - risk) * event


def plugged(folder: Path) -> list[str]:
    """Folders by which medray finds the task; `folder` is to hold its metadata."""
    metadata = folder / "medray_cox-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: medray-cox\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[medray.tasks]\ntoy-cox = survival:Cox\n")
    return [str(folder), str(HERE)]


def path_with(folders: list[str]) -> str:
    """PYTHONPATH with `folders` before it."""
    return os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")])
