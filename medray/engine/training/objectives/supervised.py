"""One network, and the task's loss of its answers."""

from typing import ClassVar

import torch
from torch import Tensor

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Objective


class Supervised(Objective):
    """The mean over the global batch of the task's loss."""

    name: ClassVar[str] = "supervised"

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective."""
        losses = []
        for index, part in enumerate(batch.parts):
            with hands.part(MODEL, last=index == len(batch.parts) - 1) as network:
                with hands.autocast():
                    outputs = network(part.inputs)
                loss = self.task.loss(outputs, part.target)
                losses.append(loss.detach())
                hands.backward(loss)
        hands.update(MODEL)
        return {"loss": torch.cat(losses)}
