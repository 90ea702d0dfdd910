"""A generator of codes, and a critic that tells them from the codes of samples."""

from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Given, Objective, ObjectiveOptions
from medray.errors import FatalError, SpecError
from medray.models.base import Network
from medray.models.latent import Latent
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.storage.catalog.models import open_model
from medray.tasks.base import Task

CRITIC = "critic"


class WganGpOptions(ObjectiveOptions):
    """Options of `wgan-gp`."""

    penalty: float = Field(10.0, ge=0, description="weight of gradients whose norm is not 1")
    turns: int = Field(5, ge=1, description="of the critic, for one of the generator")
    width: int = Field(512, ge=1, description="units of the critic's layers")
    optimiser: OptimiserSettings | None = Field(
        None, description="of the critic; null: as the generator's"
    )
    least_exact: float = Field(
        0.9, ge=0, le=1, description="share of held out samples that come back exactly from codes"
    )
    least_apart: float = Field(
        0.2,
        ge=0,
        description="how far the nearest of a step's made up codes are apart, in parts of how far "
        "codes of samples are, or the training ends",
    )


class WganGp(Objective):
    """Wasserstein's GAN with a penalty on gradients (Gulrajani et al. 2017) over the codes of an
    autoencoder, as in LatentGAN (Prykhodko et al. 2019). Only the generator and the critic learn.

    What is drawn is no better than what the autoencoder can give back. So it has to give back
    `least_exact` of the samples it was validated on, or nothing is begun.
    """

    name: ClassVar[str] = "wgan-gp"
    Options: ClassVar[type[ObjectiveOptions]] = WganGpOptions
    losses: ClassVar[tuple[str, ...]] = ("loss", "distance", "penalty")
    accumulates: ClassVar[bool] = False
    one_network: ClassVar[bool] = False
    alone: ClassVar[bool] = True
    by_task: ClassVar[bool] = False

    def __init__(self, options: Any, given: Given) -> None:
        super().__init__(options, given)
        reference = str(given.settings.first_model)
        exact = open_model(given.objects, reference).metrics.get("val_exact", 0.0)
        if not exact >= options.least_exact:
            raise SpecError(
                f"the autoencoder gives back {exact:.3f} of what was held out exactly, and "
                f"{options.least_exact:g} are wanted",
                code="not-exact",
                about=reference,
                hint="train it longer, or with larger codes; or lower `least_exact`",
            )
        network, width = cast("Latent", self.networks[MODEL]), options.width
        self.networks[MODEL].requires_grad_(False)
        network.generator.requires_grad_(True)
        self.networks[CRITIC] = nn.Sequential(
            nn.Linear(network.code, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
            nn.Flatten(0),
        )

    @classmethod
    def accept(
        cls, options: Any, task: Task, network: type[Network], settings: TrainSettings
    ) -> None:
        """See Objective.

        Raises:
            SpecError: the network makes no codes up (code "objective-mismatch"), or there is no
                autoencoder to begin with (code "no-autoencoder").
        """
        if not issubclass(network, Latent):
            raise SpecError(
                "the network makes no codes up",
                code="objective-mismatch",
                about=cls.name,
                hint="take one with a generator, or the objective supervised",
            )
        if settings.first_model is None:
            raise SpecError(
                "codes of fresh weights mean nothing",
                code="no-autoencoder",
                about="init_from",
                hint="name an autoencoder that was trained, in `train: init_from`",
            )

    def optimiser(self, network: str, settings: OptimiserSettings) -> OptimiserSettings:
        """See Objective."""
        own = self.options.optimiser if network == CRITIC else None
        return own or settings

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective; the generator has a turn behind every `turns` of the critic."""
        (part,) = batch.parts
        network = cast("Latent", self.networks[MODEL])
        with torch.no_grad():
            real = network.encode(part.inputs)
            made = network.make(_noise(network, real))
        with hands.part(CRITIC, last=True) as critic:
            passing, found = critic(made), critic(real)
            penalty = self._penalty(critic, made, real)
            hands.backward(passing - found + self.options.penalty * penalty)
        hands.update(CRITIC)
        if batch.step % self.options.turns == self.options.turns - 1:
            self._look_out(made, real, batch.step)
            with hands.part(MODEL, last=True), hands.frozen(CRITIC) as judge:
                hands.backward(-judge(network.make(_noise(network, real))))
            hands.update(MODEL)
        made_of = (-passing, found - passing, penalty)
        return {name: one.detach() for name, one in zip(self.losses, made_of, strict=True)}

    def _look_out(self, made: Tensor, real: Tensor, step: int) -> None:
        """End a training whose generator makes the same codes again and again.

        Raises:
            FatalError: it does (code "collapsed").
        """
        share = float(apart(made) / apart(real))
        if share < self.options.least_apart:
            raise FatalError(
                f"the generator has collapsed: in step {step} the codes that it makes up are "
                f"{share:.2f} as far apart as those of samples",
                code="collapsed",
                about=self.name,
                hint="lower the learning rate; the last checkpoint is sound",
            )

    def _penalty(self, critic: nn.Module, made: Tensor, real: Tensor) -> Tensor:
        """Of each pair, (B,), how far from 1 the gradient is somewhere between the two, squared."""
        share = torch.rand(len(real), 1, device=real.device)
        between = torch.lerp(made, real, share).requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty: Tensor = (slope.norm(2, dim=1) - 1).square()
        return penalty


def apart(codes: Tensor) -> Tensor:
    """How far codes (B, code) are from the nearest other one, in the median; of few modes little,
    however far these are from each other."""
    distances = torch.cdist(codes, codes, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.fill_diagonal_(torch.inf).amin(1).median()


def _noise(network: Latent, like: Tensor) -> Tensor:
    """Standard normal, (B, chance)."""
    return torch.randn(len(like), network.chance, device=like.device)
