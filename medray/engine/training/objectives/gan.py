"""A network that makes samples up, and a critic that tells them from those that there are."""

from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Given, Objective, ObjectiveOptions
from medray.errors import FatalError, SpecError
from medray.models.base import Network
from medray.models.generator import Generator
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.tasks.base import Task

CRITIC = "critic"
LOOKED_AT = 20  # steps from one look at what is made to the next
SETTLED = 200  # steps; what is made before that says nothing yet
THUMB = 8  # places along each axis of what is looked at


class GanOptions(ObjectiveOptions):
    """Options of `gan`. The defaults are those of spectrally normalised networks (Miyato et al.
    2018); WGAN-GP is `{loss: wasserstein, spectral: false, penalty: 10, turns: 5}`."""

    loss: Literal["hinge", "nonsaturating", "wasserstein"] = Field(
        "hinge", description="nonsaturating: as in DCGAN"
    )
    spectral: bool = Field(True, description="hold the critic's largest singular values at 1")
    penalty: float = Field(0.0, ge=0, description="weight of gradients whose norm is not 1")
    turns: int = Field(1, ge=1, description="of the critic, for one of the generator")
    optimiser: OptimiserSettings | None = Field(
        None, description="of the critic; null: as the generator's"
    )
    least_spread: float = Field(
        0.1, ge=0, lt=1, description="deviation between samples, as a share of the real ones', "
        "below which the generator has collapsed"
    )  # fmt: skip


class Gan(Objective):
    """A generator and a critic (Goodfellow et al. 2014), both of which are told the class.

    A critic's turn has one pass, over made and real samples, and over those between them where
    gradients are penalised (Gulrajani et al. 2017).
    """

    name: ClassVar[str] = "gan"
    Options: ClassVar[type[ObjectiveOptions]] = GanOptions
    losses: ClassVar[tuple[str, ...]] = ("loss", "loss_critic", "penalty")
    accumulates: ClassVar[bool] = False
    one_network: ClassVar[bool] = False
    by_task: ClassVar[bool] = False

    def __init__(self, options: Any, given: Given) -> None:
        super().__init__(options, given)
        generator = cast("Generator", self.networks[MODEL])
        self.networks[CRITIC] = generator.critic(spectral=options.spectral)

    @classmethod
    def accept(
        cls, options: Any, task: Task, network: type[Network], settings: TrainSettings
    ) -> None:
        """See Objective.

        Raises:
            SpecError: the network makes nothing up (code "objective-mismatch").
        """
        if not issubclass(network, Generator):
            raise SpecError(
                "the network makes no samples up",
                code="objective-mismatch",
                about=cls.name,
                hint="take a generator, or the objective supervised",
            )

    def optimiser(self, network: str, settings: OptimiserSettings) -> OptimiserSettings:
        """See Objective."""
        own = self.options.optimiser if network == CRITIC else None
        return own or settings

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective; the generator has a turn behind every `turns` of the critic."""
        (part,) = batch.parts
        real, kind = cast("Tensor", part.inputs), cast("Tensor", part.target)
        generator = cast("Generator", self.networks[MODEL])
        with torch.no_grad(), hands.autocast():
            made = self.networks[MODEL](generator.noise(kind)).to(real.dtype)
        if batch.step % LOOKED_AT == 0:
            self._look_out(made, real, batch.step, hands)
        with hands.part(CRITIC, last=True) as critic:
            passing, found, penalty = self._told_apart(critic, made, real, kind, hands)
            caught = self._caught(passing, found)
            hands.backward(caught + self.options.penalty * penalty)
        hands.update(CRITIC)
        if batch.step % self.options.turns == self.options.turns - 1:
            with hands.part(MODEL, last=True) as network, hands.frozen(CRITIC) as judge:
                with hands.autocast():
                    verdict = judge(network(generator.noise(kind)), kind)
                hands.backward(self._passing(verdict.float()))
            hands.update(MODEL)
        losses = (self._passing(passing), caught, penalty)
        return {name: one.detach() for name, one in zip(self.losses, losses, strict=True)}

    def _told_apart(
        self, critic: nn.Module, made: Tensor, real: Tensor, kind: Tensor, hands: Hands
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Verdicts on made and on real samples, and the penalty of each pair, (B,)."""
        given, size = [made, real], len(real)
        if self.options.penalty:
            share = torch.rand(size, *[1] * (real.ndim - 1), device=real.device)
            given.append(torch.lerp(made, real, share).requires_grad_(True))
        with hands.autocast():
            verdicts = critic(torch.cat(given), kind.repeat(len(given))).float()
        if not self.options.penalty:
            return verdicts[:size], verdicts[size:], torch.zeros_like(verdicts[:size])
        between = verdicts[2 * size :].sum()
        (slope,) = torch.autograd.grad(between, given[-1], create_graph=True)
        penalty = (slope.flatten(1).norm(2, dim=1) - 1).square()
        return verdicts[:size], verdicts[size : 2 * size], penalty

    def _caught(self, passing: Tensor, found: Tensor) -> Tensor:
        """The critic's loss of each pair."""
        if self.options.loss == "hinge":
            return functional.relu(1 + passing) + functional.relu(1 - found)
        if self.options.loss == "nonsaturating":
            return functional.softplus(passing) + functional.softplus(-found)
        return passing - found

    def _passing(self, verdict: Tensor) -> Tensor:
        """The generator's loss of each sample."""
        return functional.softplus(-verdict) if self.options.loss == "nonsaturating" else -verdict

    def _look_out(self, made: Tensor, real: Tensor, step: int, hands: Hands) -> None:
        """End a training whose generator makes the same again and again.

        Raises:
            FatalError: it does (code "collapsed"); every rank sees it alike.
        """
        small = [cast("Tensor", hands.gather(_thumbs(one))) for one in (made, real)]
        share, known = (one.std(0).mean() for one in small)
        if step >= SETTLED and share < self.options.least_spread * known:
            raise FatalError(
                f"the generator has collapsed: what it makes in step {step} differs by "
                f"{float(share / known):.0%} of what real samples do",
                code="collapsed",
                about=self.name,
                hint="lower the learning rate, or take more turns of the critic; the last "
                "checkpoint is sound",
            )


def _thumbs(images: Tensor) -> Tensor:
    """Means over some places of each, (B, values)."""
    axes = images.ndim - 2
    pool = (
        functional.adaptive_avg_pool1d,
        functional.adaptive_avg_pool2d,
        functional.adaptive_avg_pool3d,
    )[axes - 1]
    return pool(images.float(), THUMB).flatten(1)
