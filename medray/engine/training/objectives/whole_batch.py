"""A loss that hangs on all samples of a step, such as a partial likelihood or a contrast."""

from typing import ClassVar

from torch import Tensor

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Objective


class WholeBatch(Objective):
    """As `supervised`, but the task's loss gets the answers and targets of all ranks' samples.

    What goes over the network are these alone, not what leads to them; each rank goes on with the
    losses of its own samples. So any number of ranks makes the same steps.
    """

    name: ClassVar[str] = "whole-batch"
    whole_batch: ClassVar[bool] = True
    accumulates: ClassVar[bool] = False

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective."""
        (part,) = batch.parts
        with hands.part(MODEL, last=True) as network:
            with hands.autocast():
                outputs = network(part.inputs)
            answers, targets = hands.gather(outputs), hands.gather(part.target)
            loss = self.task.loss(answers, targets)[hands.own]
            hands.backward(loss)
        hands.update(MODEL)
        return {"loss": loss.detach()}
