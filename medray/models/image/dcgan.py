"""Images made up from noise, class by class, in 2-D and 3-D, and a critic of them."""

import math
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from medray.errors import SpecError
from medray.models.base import Answers, ModelOptions
from medray.models.generator import Generator
from medray.models.image.base import ImageNetwork, ImageOptions, pool_steps, start_weights
from medray.models.image.layers import Norm, conv, norm

SLOPE = 0.2  # of the critic's leaky ReLUs, as in DCGAN


class Dcgan(ImageNetwork, Generator):
    """Noise to an image, level by level, each twice as fine as the one before (Radford et al.
    2016). A level is upsampled by nearest neighbours and convolved, which leaves no checkerboard
    (Odena et al. 2016), so any size can be made. Classes are told by an embedding beside the noise.

    What it answers is in units of normalised intensities, without a bound.
    """

    class Options(ImageOptions):
        """What can be chosen."""

        features: tuple[int, ...] = Field(
            (32, 64, 128), min_length=1, description="channels per level, finest first"
        )
        chance: int = Field(64, ge=1, description="numbers of noise")
        embedding: int = Field(16, ge=1, description="numbers that tell a class")
        norm: Norm = Field("group", description="of the generator; its critic has none")

    answers: ClassVar[frozenset[Answers]] = frozenset({"image"})

    def __init__(
        self, options: Options, channels: int, classes: int, patch: tuple[int, ...]
    ) -> None:
        super().__init__()
        dims, features = options.dims, options.features
        steps = pool_steps(patch, dims, len(features))
        if len(steps) < len(features) - 1:
            raise SpecError(
                f"a patch of {patch} can be halved {len(steps)} times, not {len(features) - 1}",
                code="patch-too-small",
                about="dcgan",
                hint=f"give {len(steps) + 1} features, or a larger patch",
            )
        self._sizes = [patch]
        for step in steps:
            pairs = zip(self._sizes[-1], step, strict=True)
            self._sizes.append(tuple(math.ceil(size / by) for size, by in pairs))
        self.divisor, self.chance = (1,) * dims, options.chance
        self._built = (dims, features, channels, classes, steps)
        self.classes = nn.Embedding(classes, options.embedding)
        coarsest = math.prod(self._sizes[-1])
        self.begin = nn.Linear(options.chance + options.embedding, features[-1] * coarsest)
        self.levels = nn.ModuleList()
        for inward, outward in zip(features[::-1], [*features[-2::-1], features[0]], strict=True):
            self.levels.append(
                nn.Sequential(
                    norm(dims, options.norm, inward),
                    nn.ReLU(),
                    conv(dims, inward, outward, bias=options.norm == "none"),
                )
            )
        self.end = nn.Sequential(
            norm(dims, options.norm, features[0]), nn.ReLU(), conv(dims, features[0], channels)
        )
        start_weights(self)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; `patch` is the size of what is made."""
        chosen = cast("Dcgan.Options", options)
        return cls(chosen, in_channels, out_channels, patch or (32,) * chosen.dims)

    def forward(self, drawn: dict[str, Tensor]) -> Tensor:
        """See Generator: (B, channels, *patch)."""
        told = torch.cat([drawn["noise"], self.classes(drawn["kind"])], 1)
        x = self.begin(told).unflatten(1, (-1, *self._sizes[-1]))
        # The coarsest level has nothing to be made larger from.
        for level, size in zip(self.levels, [*self._sizes[-2::-1], self._sizes[0]], strict=True):
            if tuple(x.shape[2:]) != size:
                x = functional.interpolate(x, size=size)
            x = level(x)
        made: Tensor = self.end(x)
        return made

    def critic(self, *, spectral: bool) -> nn.Module:
        """See Generator."""
        return Critic(*self._built, spectral=spectral)


class Critic(nn.Module):
    """Strided convolutions, then how well what they found goes with the class, beside how real it
    is by itself (projection, Miyato & Koyama 2018). Without norms: a sample's answer is its own.

    Args:
        dims: spatial axes.
        features: channels per level.
        channels: of the images.
        classes: how many.
        steps: by which each level is coarser than the one before.
        spectral: see Generator.critic.
    """

    def __init__(
        self,
        dims: int,
        features: tuple[int, ...],
        channels: int,
        classes: int,
        steps: list[tuple[int, ...]],
        *,
        spectral: bool,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level, width in enumerate(features):
            stride = steps[level - 1] if level else 1
            layers += [conv(dims, channels, width, 3, stride), nn.LeakyReLU(SLOPE)]
            layers += [conv(dims, width, width), nn.LeakyReLU(SLOPE)]
            channels = width
        self.levels = nn.Sequential(*layers)
        self.real = nn.Linear(channels, 1)
        self.fitting = nn.Embedding(classes, channels)
        start_weights(self, SLOPE)
        nn.init.normal_(self.fitting.weight, std=channels**-0.5)
        if spectral:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear | nn.Embedding):
                    spectral_norm(module)

    def forward(self, images: Tensor, kind: Tensor) -> Tensor:
        """See Generator.critic."""
        found = self.levels(images).flatten(2).sum(2)
        answer: Tensor = self.real(found).squeeze(1) + (self.fitting(kind) * found).sum(1)
        return answer
