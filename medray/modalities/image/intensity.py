"""Augmentation of intensities, on one sample's tensor, where it lies."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from medray.data.chance import Chance
from medray.modalities.image.augment import ImageAugment


def augment_intensity(image: Tensor, chance: Chance, settings: ImageAugment) -> Tensor:
    """Noise, blur, brightness, contrast, low resolution and gamma, in nnU-Net's order.

    Args:
        image: (C, *patch), float32, normalised.
        chance: where randomness comes from.
        settings: how often and how much.

    Returns:
        The same shape; the input is not changed.
    """
    if chance.hit(settings.noise_chance):
        std = chance.uniform(*settings.noise_std)
        image = image + std * chance.normal(image.shape, image.device)
    if chance.hit(settings.blur_chance):
        image = blur(image, chance.uniform(*settings.blur_sigma))
    if chance.hit(settings.brightness_chance):
        image = image * chance.uniform(*settings.brightness)
        image = image + chance.uniform(-settings.shift, settings.shift)
    if chance.hit(settings.contrast_chance):
        mean = _over_space(image, "mean")
        image = (image - mean) * chance.uniform(*settings.contrast) + mean
    if chance.hit(settings.lowres_chance):
        image = low_resolution(image, chance.uniform(*settings.lowres_zoom))
    if chance.hit(settings.gamma_chance):
        exponent = chance.uniform(*settings.gamma)
        # A quarter of the gammas are of the inverted image, nnU-Net's 0.1 beside 0.3.
        image = -gamma(-image, exponent) if chance.hit(0.25) else gamma(image, exponent)
    return image


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, separable, with borders continued; sigma in voxels."""
    radius = max(1, math.ceil(2 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    axes = image.ndim - 1
    convolve = functional.conv3d if axes == 3 else functional.conv2d
    out = image[:, None]
    for axis in range(axes):
        shape = [1] * axes
        shape[axis] = 2 * radius + 1
        pads = [0, 0] * axes
        pads[2 * (axes - 1 - axis)] = pads[2 * (axes - 1 - axis) + 1] = radius
        out = convolve(functional.pad(out, pads, mode="replicate"), kernel.view(1, 1, *shape))
    return out[:, 0]


def low_resolution(image: Tensor, zoom: float) -> Tensor:
    """The image as if scanned with voxels 1 / zoom as large."""
    small = [max(1, round(size * zoom)) for size in image.shape[1:]]
    coarse = functional.interpolate(image[None], size=small, mode="nearest")
    mode = "trilinear" if len(small) == 3 else "bilinear"
    return functional.interpolate(coarse, size=image.shape[1:], mode=mode, align_corners=False)[0]


def gamma(image: Tensor, exponent: float) -> Tensor:
    """((x - min) / range) ** exponent, brought back to the mean and deviation that were before."""
    low = _over_space(image, "amin")
    span = (_over_space(image, "amax") - low).clamp_min(1e-7)
    out = ((image - low) / span) ** exponent
    std = _over_space(out, "std").clamp_min(1e-7)
    return (out - _over_space(out, "mean")) / std * _over_space(image, "std") + _over_space(
        image, "mean"
    )


def _over_space(image: Tensor, what: str) -> Tensor:
    axes = tuple(range(1, image.ndim))
    found: Tensor = getattr(image, what)(dim=axes, keepdim=True)
    return found
