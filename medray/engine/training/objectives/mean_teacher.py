"""Mean teacher: samples without targets are held to a network's own past."""

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from medray.data.batch import Batch, Views
from medray.data.order import share
from medray.data.tree import Tree, joined, map_tree
from medray.engine.training.averaging import Average
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Given, Objective, ObjectiveOptions
from medray.errors import SpecError
from medray.models.base import Network
from medray.spec.training import TrainSettings
from medray.tasks.base import Task

TEACHER = "teacher"


class MeanTeacherOptions(ObjectiveOptions):
    """Options of `mean-teacher`."""

    decay: float = Field(0.99, gt=0, lt=1, description="of the teacher's weights, once warm")
    weight: float = Field(1.0, ge=0, description="of the distance to the teacher's answers")
    ramp: float = Field(
        0.3, ge=0, le=1, description="share of the training in which the weight grows to itself"
    )
    noise: float = Field(
        0.1, ge=0, description="Gaussian, on what network and teacher see; cut at twice of it"
    )
    distance: Literal["square", "cross-entropy"] = Field(
        "square", description="of probabilities, or of those of each class to the teacher's"
    )
    threshold: float = Field(
        0, ge=0, lt=1, description="how sure the teacher has to be of every class to be heard"
    )


class MeanTeacher(Objective):
    """The task's loss of samples with targets, and of those without the distance between answers
    of network and teacher, which have seen other noise (Tarvainen & Valpola 2017).

    The teacher is the moving average of the network's weights. It answers without dropout, and with
    statistics of batch norm that are its own: those of the network belong to other weights. The
    distance's weight grows as exp(-5 (1 - t)^2), while the teacher knows little (Laine & Aila
    2017); noise on inputs is as of Yu et al. 2019, a threshold as of Sohn et al. 2020. The teacher
    is what is validated, and becomes the model.
    """

    name: ClassVar[str] = "mean-teacher"
    Options: ClassVar[type[ObjectiveOptions]] = MeanTeacherOptions
    losses: ClassVar[tuple[str, ...]] = ("loss", "loss_teacher")
    gives: ClassVar[str] = TEACHER
    accumulates: ClassVar[bool] = False
    one_network: ClassVar[bool] = False
    unlabelled: ClassVar[bool] = True

    def __init__(self, options: Any, given: Given) -> None:
        super().__init__(options, given)
        teacher = copy.deepcopy(self.networks[MODEL])
        # As the network's: those of parts that don't learn stay as they are.
        self._norms = [
            one for one in teacher.modules() if isinstance(one, _BatchNorm) and _learns(one)
        ]
        self._average = Average(teacher, options.decay, own_buffers=True)
        self._count = given.settings.unlabelled_batch_size
        self.followers[TEACHER] = teacher

    @classmethod
    def accept(
        cls, options: Any, task: Task, network: type[Network], settings: TrainSettings
    ) -> None:
        """Refuse answers in units: their distance would hang on these.

        Raises:
            SpecError: the task's answers are no probabilities (code "no-probabilities").
        """
        far = task.probabilities(torch.tensor([[-9.0], [9.0]]).repeat(1, len(task.channels)))
        if far.min() < 0 or far.max() > 1:
            raise SpecError(
                f"{task.name} answers by values, and a teacher is held to by probabilities",
                code="no-probabilities",
                about="objective",
                hint="take a task of classes, or another objective",
            )

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective."""
        (part,), views = batch.parts, cast("Views", batch.unlabelled)
        total = self._count or hands.batch_size
        mine = share(total, hands.world.rank, hands.world.size)
        generator = torch.Generator(hands.world.device).manual_seed(hands.seed)

        def veiled(seen: Tensor) -> Tensor:
            # Drawn for the samples of all ranks, so that it does not hang on their number.
            if not self.options.noise or not seen.is_floating_point():
                return seen
            size = (total, *seen.shape[1:])
            noise = torch.randn(size, generator=generator, device=seen.device)[mine]
            noisy: Tensor = seen + self.options.noise * noise.clamp(-2, 2)
            return noisy

        seen, shown = (map_tree(veiled, view) for view in (views.student, views.teacher))
        with hands.part(MODEL, last=True) as network:
            with hands.autocast():
                # At once: batch norm sees both kinds of samples as one batch.
                outputs = network(joined(part.inputs, seen))
                taught = self._taught(shown)
            count = hands.own.stop - hands.own.start
            found = _finest(_rows(outputs, slice(count, None)))
            distance = hands.spread(self._distance(found, taught), total)
            loss = self.task.loss(_rows(outputs, slice(count)), part.target)
            hands.backward(loss + self._weight(hands.done) * distance)
        hands.update(MODEL)
        return {"loss": loss.detach(), "loss_teacher": distance.detach()}

    def follow(self, step: int) -> None:
        """The teacher takes one step's weights in."""
        self._average.follow(self.networks[MODEL], step)

    def _weight(self, done: float) -> float:
        ramp: float = self.options.ramp
        left = max(0.0, 1 - done / ramp) if ramp else 0.0
        weight: float = self.options.weight
        return weight * math.exp(-5 * left**2)

    @torch.no_grad()
    def _taught(self, shown: Tree) -> Tensor:
        """Logits of the teacher."""
        for norm in self._norms:
            norm.train()
        answers = self.followers[TEACHER](shown)
        for norm in self._norms:
            norm.eval()
        return _finest(answers)

    def _distance(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Of each sample, (n,): the mean over its places."""
        wanted, found = (self.task.probabilities(one.float()) for one in (taught, logits))
        if self.options.distance == "square":
            apart = (found - wanted).square()
        else:
            apart = functional.binary_cross_entropy(found, wanted, reduction="none")
        sure = torch.maximum(wanted, 1 - wanted).amin(1, keepdim=True) >= self.options.threshold
        heard: Tensor = apart * sure
        return heard.flatten(1).mean(1)


def _rows(outputs: Any, some: slice) -> Any:
    """Answers to some samples, of every resolution that a network answers in."""
    if isinstance(outputs, Sequence):
        return [one[some] for one in outputs]
    return outputs[some]


def _learns(module: nn.Module) -> bool:
    return any(one.requires_grad for one in module.parameters())


def _finest(outputs: Any) -> Tensor:
    found: Tensor = outputs[0] if isinstance(outputs, Sequence) else outputs
    return found
