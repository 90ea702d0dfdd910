"""The objective `mirrored`: answers are to be the same where points are seen in a mirror."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Objective, ObjectiveOptions

MIRROR = torch.tensor([1.0, -1.0])  # what lies right of 0 stays there


class Mirrored(Objective):
    """The task's loss, and how far apart the answers to samples and to their mirror images are."""

    class Options(ObjectiveOptions):
        """What can be chosen."""

        weight: float = Field(1.0, ge=0, description="of the distance")

    name: ClassVar[str] = "mirrored"
    losses: ClassVar[tuple[str, ...]] = ("loss", "loss_apart")

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective."""
        losses, distances = [], []
        for index, part in enumerate(batch.parts):
            with hands.part(MODEL, last=index == len(batch.parts) - 1) as network:
                with hands.autocast():
                    plain, turned = network(with_mirrored(part.inputs)).chunk(2)
                apart = (plain - turned).float().square().mean(1)
                loss = self.task.loss(plain, part.target) + self.options.weight * apart
                losses.append(loss.detach())
                distances.append(apart.detach())
                hands.backward(loss)
        hands.update(MODEL)
        return {"loss": torch.cat(losses), "loss_apart": torch.cat(distances)}


def with_mirrored(inputs: Any) -> dict[str, Tensor]:
    """Inputs of B samples and, on end, their mirror images; see SpotNet."""
    points, of, count = inputs["points"], inputs["of"], inputs["count"]
    return {
        "points": torch.cat([points, points * MIRROR]),
        "of": torch.cat([of, of + len(count)]),
        "count": torch.cat([count, count]),
    }
