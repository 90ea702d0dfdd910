"""What happened in a training, step by step; it goes with every checkpoint, bit for bit."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class History:
    """Losses, learning rate and seconds of every step, and the metrics of every validation.

    Args:
        names: of the losses; the first is the loss.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._steps: list[list[float]] = []
        self.validations: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, losses: Sequence[float], lr: float, seconds: float) -> None:
        """Add the next step."""
        self._steps.append([*losses, lr, seconds])

    @property
    def loss(self) -> float:
        """Of the newest step."""
        return self._steps[-1][0]

    def rows(self, steps_per_epoch: int) -> list[dict[str, Any]]:
        """A row per step: epoch, step, the losses, lr, seconds, and the metrics of a validation in
        the row of the step that it followed."""
        metrics = {row["step"] - 1: row for row in self.validations}
        rows = []
        for step, values in enumerate(self._steps):
            row: dict[str, Any] = {"epoch": step // steps_per_epoch, "step": step}
            row |= dict(zip((*self.names, "lr", "seconds"), values, strict=True))
            row.update({k: v for k, v in metrics.get(step, {}).items() if k.startswith("val_")})
            rows.append(row)
        return rows

    def tensors(self) -> dict[str, Tensor]:
        """The steps as a tensor, for a checkpoint."""
        steps = torch.tensor(self._steps, dtype=torch.float64)
        return {"steps": steps.reshape(-1, len(self.names) + 2)}

    def restore(self, tensors: dict[str, Tensor], validations: list[dict[str, Any]]) -> None:
        """Back to what `tensors` and `validations` were."""
        self._steps = tensors["steps"].tolist()
        self.validations = list(validations)
