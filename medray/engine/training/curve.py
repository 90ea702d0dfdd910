"""What happened in a training, step by step; it goes with every checkpoint, bit for bit."""

from typing import Any

import torch
from torch import Tensor


class History:
    """Loss, learning rate and seconds of every step, and the metrics of every validation."""

    def __init__(self) -> None:
        self._steps: list[tuple[float, float, float]] = []
        self.validations: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, loss: float, lr: float, seconds: float) -> None:
        """Add the next step."""
        self._steps.append((loss, lr, seconds))

    @property
    def losses(self) -> list[float]:
        """Loss of every step: the loss curve."""
        return [loss for loss, _, _ in self._steps]

    def rows(self, steps_per_epoch: int) -> list[dict[str, Any]]:
        """A row per step: epoch, step, loss, lr, seconds, and the metrics of a validation in the
        row of the step that it followed."""
        metrics = {row["step"] - 1: row for row in self.validations}
        rows = []
        for step, (loss, lr, seconds) in enumerate(self._steps):
            row = {"epoch": step // steps_per_epoch, "step": step, "loss": loss, "lr": lr}
            row["seconds"] = seconds
            row.update({k: v for k, v in metrics.get(step, {}).items() if k.startswith("val_")})
            rows.append(row)
        return rows

    def tensors(self) -> dict[str, Tensor]:
        """The steps as a tensor, for a checkpoint."""
        return {"steps": torch.tensor(self._steps, dtype=torch.float64).reshape(-1, 3)}

    def restore(self, tensors: dict[str, Tensor], validations: list[dict[str, Any]]) -> None:
        """Back to what `tensors` and `validations` were."""
        self._steps = [(row[0], row[1], row[2]) for row in tensors["steps"].tolist()]
        self.validations = list(validations)
