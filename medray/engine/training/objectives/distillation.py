"""A network and its teacher, the average of its own past (Tarvainen & Valpola 2017)."""

import copy
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from medray.data.batch import Batch
from medray.engine.training.averaging import Average
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Given, Objective, ObjectiveOptions

TEACHER = "teacher"


class DistillationOptions(ObjectiveOptions):
    """Options of `distillation`."""

    decay: float = Field(0.999, gt=0, lt=1, description="of the teacher's weights, once warm")
    weight: float = Field(1.0, ge=0, description="of the distance to the teacher's answers")


class Distillation(Objective):
    """The task's loss, and the mean square between the probabilities of network and teacher.

    The teacher answers in evaluation mode, so it is dropout that sets the two apart besides time.
    It is what is validated, and becomes the model.
    """

    name: ClassVar[str] = "distillation"
    Options: ClassVar[type[ObjectiveOptions]] = DistillationOptions
    losses: ClassVar[tuple[str, ...]] = ("loss", "loss_teacher")
    gives: ClassVar[str] = TEACHER
    one_network: ClassVar[bool] = False

    def __init__(self, options: Any, given: Given) -> None:
        super().__init__(options, given)
        self._average = Average(copy.deepcopy(self.networks[MODEL]), options.decay)
        self.followers[TEACHER] = self._average.network

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective."""
        losses, distances = [], []
        for index, part in enumerate(batch.parts):
            with hands.part(MODEL, last=index == len(batch.parts) - 1) as network:
                with hands.autocast():
                    outputs = network(part.inputs)
                    with torch.no_grad():
                        taught = self.followers[TEACHER](part.inputs)
                wanted, found = (self._probabilities(one) for one in (taught, outputs))
                distance = (found - wanted).square().flatten(1).mean(1)
                loss = self.task.loss(outputs, part.target) + self.options.weight * distance
                losses.append(loss.detach())
                distances.append(distance.detach())
                hands.backward(loss)
        hands.update(MODEL)
        return {"loss": torch.cat(losses), "loss_teacher": torch.cat(distances)}

    def follow(self, step: int) -> None:
        """The teacher takes one step's weights in."""
        self._average.follow(self.networks[MODEL], step)

    def _probabilities(self, outputs: Any) -> Tensor:
        finest = outputs[0] if isinstance(outputs, list) else outputs
        return self.task.probabilities(finest.float())
