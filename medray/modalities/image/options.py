"""What a job may fix of the plan of a training on images, and how models of them are asked."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medray.modalities.image.explain import HOW, How
from medray.modalities.image.guide import GUIDE
from medray.modalities.image.normalise import ChannelNorm, Scheme
from medray.modalities.plan import PlanOptions, PredictOptions
from medray.storage.shards.holds import Needs, names

Voxels = Annotated[int, Field(ge=1)]
Grid = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2, max_length=3)
]  # millimetres, slow axis first


class ImagePlanOptions(PlanOptions):
    """Grid, patches and intensities."""

    patch: tuple[Voxels, ...] | None = Field(
        None, min_length=2, max_length=3, description="voxels, slow axis first"
    )
    spacing_mm: Grid | Literal["own"] | None = Field(
        None, description="grid that images are resampled to, slow axis first; own: none is"
    )
    normalise: Scheme | None = Field(None, description="of intensities, for all channels")
    channels: tuple[ChannelNorm, ...] | None = Field(
        None, description="normalisation of each channel, in place of `normalise`"
    )
    foreground: float = Field(
        1 / 3, ge=0, le=1, description="share of patches centred on a voxel of a drawn class"
    )
    coarse: bool = Field(
        False, description="a grid so coarse that a patch covers a quarter of the median image"
    )
    guide: bool = Field(
        False, description="masks of another network, which samples have, are further channels"
    )

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        if self.normalise is not None and self.channels is not None:
            raise ValueError("give `normalise` or `channels`")
        if self.coarse and self.spacing_mm is not None:
            raise ValueError("give `coarse` or `spacing_mm`")
        return self

    @property
    def needs(self) -> Needs:
        """See PlanOptions: a guide, where it is wanted."""
        hint = "make them by `kind: transform`, `operation: {name: cascade}`"
        return Needs((names(GUIDE),), hint=hint) if self.guide else Needs()


class ImageOptions(PredictOptions):
    """How models of images may be asked."""

    overlap: float = Field(0.5, ge=0, lt=1, description="of neighbouring windows")
    tta: bool = Field(False, description="average over copies mirrored as in training")
    outputs: Literal["labels", "probabilities", How] = Field(
        "labels", description="the others: what a network looks at, beside the labels"
    )
    checks: bool = Field(
        False,
        description="of maps: how soon the answer falls without what they show, and whether "
        "they change with the weights",
    )

    @model_validator(mode="after")
    def _of_maps(self) -> Self:
        if self.checks and self.outputs not in HOW:
            raise ValueError(f"`checks` are of maps: let `outputs` be one of {', '.join(HOW)}")
        return self
