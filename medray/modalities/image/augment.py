"""What can be chosen about the augmentation of images."""

from typing import Literal

from pydantic import Field

from medray.modalities.plan import Augment


class ImageAugment(Augment):
    """Augmentation of images on tensors; nearly nnU-Net's (Isensee et al. 2021)."""

    mirror: tuple[int, ...] | None = Field(
        None, description="spatial axes to mirror along, 0 = slowest; null: all of them"
    )
    rot90: bool = Field(False, description="quarter turns in the plane of the last two axes")
    spatial_chance: float = Field(0.3, ge=0, le=1, description="of a rotation with scaling")
    rotate_deg: float = Field(30, ge=0, le=180, description="about each axis, uniform in ±")
    scale: tuple[float, float] = Field((0.7, 1.4), description="zoom, the same along all axes")
    elastic_chance: float = Field(0, ge=0, le=1)
    elastic_voxels: float = Field(3, ge=0, description="standard deviation of the displacement")
    noise_chance: float = Field(0.1, ge=0, le=1)
    noise_std: tuple[float, float] = (0, 0.3)
    blur_chance: float = Field(0.2, ge=0, le=1)
    blur_sigma: tuple[float, float] = (0.5, 1.0)
    brightness_chance: float = Field(0.15, ge=0, le=1)
    brightness: tuple[float, float] = Field((0.75, 1.25), description="factor")
    shift: float = Field(0, ge=0, description="added to all voxels, uniform in ±; with brightness")
    contrast_chance: float = Field(0.15, ge=0, le=1)
    contrast: tuple[float, float] = Field((0.75, 1.25), description="factor about the mean")
    lowres_chance: float = Field(0.25, ge=0, le=1)
    lowres_zoom: tuple[float, float] = (0.5, 1.0)
    gamma_chance: float = Field(0.3, ge=0, le=1)
    gamma: tuple[float, float] = (0.7, 1.5)
    guide_shape_chance: float = Field(
        0.4, ge=0, le=1, description="of a guide's masks being grown, shrunk, opened or closed"
    )
    guide_part_chance: float = Field(
        0.2, ge=0, le=1, description="of connected parts of a guide's masks being taken away"
    )
    padding: Literal["zeros", "border"] = Field(
        "zeros", description="image beyond its border: its mean (0 once normalised), or continued"
    )
