"""A network that learns masks, and one that learns to tell them from drawn ones."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Given, Objective, ObjectiveOptions
from medray.errors import SpecError
from medray.models.base import Network
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.tasks.base import Task

DISCRIMINATOR = "discriminator"


class AdversarialOptions(ObjectiveOptions):
    """Options of `adversarial`."""

    weight: float = Field(0.1, ge=0, description="of the loss of not passing for a drawn mask")
    features: tuple[int, ...] = Field(
        (16, 32), min_length=1, description="channels of the discriminator's levels"
    )
    optimiser: OptimiserSettings | None = Field(
        None, description="of the discriminator; null: as the network's"
    )


class Discriminator(nn.Module):
    """Logits that each patch of a mask was drawn, (B, 1, *space / 2^levels).

    Convolutions of stride 2 and leaky ReLUs, as in pix2pix (Isola et al. 2017); without norms, so
    that a sample's logits are its own.

    Args:
        channels: of the masks (B, channels, *space).
        features: of each level.
        dims: spatial axes.
    """

    def __init__(self, channels: int, features: tuple[int, ...], dims: int) -> None:
        super().__init__()
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        layers: list[nn.Module] = []
        for width in features:
            layers += [convolution(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels = width
        self.levels = nn.Sequential(*layers, convolution(channels, 1, 1))

    def forward(self, masks: Tensor) -> Tensor:
        """See the class."""
        answer: Tensor = self.levels(masks)
        return answer


class Adversarial(Objective):
    """The task's loss, and that of a discriminator which sees masks, found and drawn ones (Luc et
    al. 2016; Goodfellow et al. 2014, non-saturating).

    The discriminator's turn comes first; what the network then has to pass is the updated one.
    """

    name: ClassVar[str] = "adversarial"
    Options: ClassVar[type[ObjectiveOptions]] = AdversarialOptions
    losses: ClassVar[tuple[str, ...]] = ("loss", "loss_passing", "loss_discriminator")
    accumulates: ClassVar[bool] = False
    one_network: ClassVar[bool] = False

    def __init__(self, options: Any, given: Given) -> None:
        super().__init__(options, given)
        dims = len(getattr(self.networks[MODEL], "divisor", ())) or 1
        self.networks[DISCRIMINATOR] = Discriminator(len(self.task.classes), options.features, dims)

    @classmethod
    def accept(
        cls, options: Any, task: Task, network: type[Network], settings: TrainSettings
    ) -> None:
        """See Objective; the task draws masks, or is refused (code "objective-mismatch")."""
        if task.answers != "place":
            raise SpecError(
                f"{task.name} draws no masks that could be told apart",
                code="objective-mismatch",
                about=cls.name,
                hint="take the objective supervised",
            )

    def optimiser(self, network: str, settings: OptimiserSettings) -> OptimiserSettings:
        """See Objective."""
        own = self.options.optimiser if network == DISCRIMINATOR else None
        return own or settings

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective."""
        (part,) = batch.parts
        with hands.part(MODEL, last=True) as network:
            with hands.autocast():
                outputs = network(part.inputs)
            loss = self.task.loss(outputs, part.target)
            found, drawn = self._masks(outputs, part.target)
            caught = self._tell_apart(found.detach(), drawn, hands)
            with hands.frozen(DISCRIMINATOR) as judge, hands.autocast():
                verdict = judge(found)
            passing = _entropy(verdict, drawn=True)
            loss = loss + self.options.weight * passing
            hands.backward(loss)
        hands.update(MODEL)
        made = (loss, passing, caught)
        return {name: one.detach() for name, one in zip(self.losses, made, strict=True)}

    def _tell_apart(self, found: Tensor, drawn: Tensor, hands: Hands) -> Tensor:
        """The discriminator's turn; its loss of each sample."""
        with hands.part(DISCRIMINATOR, last=True) as judge:
            with hands.autocast():
                # At once: of two passes DDP would want two reductions.
                verdict = judge(torch.cat([found, drawn]))
            one, other = verdict.split(len(found))
            caught = (_entropy(one, drawn=False) + _entropy(other, drawn=True)) / 2
            hands.backward(caught)
        hands.update(DISCRIMINATOR)
        return caught

    def _masks(self, outputs: Any, target: Any) -> tuple[Tensor, Tensor]:
        """Masks (B, classes, *space), found and drawn; 0 where a label is no class."""
        finest = outputs[0] if isinstance(outputs, list) else outputs
        classes = torch.arange(len(self.task.classes), device=target.device)
        labels = target.unsqueeze(1)
        drawn = (labels == classes.view(-1, *[1] * (target.ndim - 1))).float()
        return self.task.probabilities(finest.float()) * (labels < len(classes)), drawn


def _entropy(logits: Tensor, *, drawn: bool) -> Tensor:
    """Of each sample, (B,), where all its patches were drawn, or none."""
    wanted = torch.full_like(logits, float(drawn), dtype=torch.float32)
    loss = functional.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
    return loss.flatten(1).mean(1)
