import numpy as np
import pytest
import torch
from scipy import ndimage

from medray.data.chance import Chance
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.intensity import augment_intensity, blur, gamma, low_resolution

OFF = dict.fromkeys(
    (f"{name}_chance" for name in ("noise", "blur", "brightness", "contrast", "lowres", "gamma")),
    0.0,
)


def test_equal_seeds_give_equal_images() -> None:
    image = torch.randn(2, 6, 7, 8)
    settings = ImageAugment(**dict.fromkeys(OFF, 1.0))
    one, two, three = (augment_intensity(image, Chance(seed), settings) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.allclose(one, three, atol=0.01)


def test_nothing_is_done_by_chance_zero() -> None:
    image = torch.randn(1, 5, 5)
    assert torch.equal(augment_intensity(image, Chance(0), ImageAugment(**OFF)), image)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_blur_is_gaussian(sigma: float) -> None:
    image = torch.randn(2, 9, 10, 11)
    wanted = [
        ndimage.gaussian_filter(channel.numpy(), sigma, mode="nearest", radius=int(2 * sigma + 0.9))
        for channel in image
    ]
    assert torch.allclose(blur(image, sigma), torch.from_numpy(np.stack(wanted)), atol=1e-5)


def test_gamma_keeps_mean_and_deviation() -> None:
    image = torch.randn(2, 8, 8)
    got = gamma(image, 1.4)
    for axis in range(2):
        assert got[axis].mean().item() == pytest.approx(image[axis].mean().item(), abs=1e-5)
        assert got[axis].std().item() == pytest.approx(image[axis].std().item(), rel=1e-4)
    order = image[0].flatten().argsort()
    assert torch.equal(got[0].flatten().argsort(), order)
    assert (got - image).abs().max() > 0.05


def test_brightness_and_contrast_are_affine_in_range() -> None:
    image = torch.rand(1, 6, 6) + 1
    bright = ImageAugment(**{**OFF, "brightness_chance": 1})
    ratio = augment_intensity(image, Chance(4), bright) / image
    assert ratio.std() < 1e-6
    assert 0.75 <= ratio.mean() <= 1.25
    contrast = ImageAugment(**{**OFF, "contrast_chance": 1})
    got = augment_intensity(image, Chance(5), contrast)
    assert got.mean().item() == pytest.approx(image.mean().item(), abs=1e-5)
    assert 0.75 <= (got.std() / image.std()).item() <= 1.25


def test_noise_has_the_deviation_drawn() -> None:
    settings = ImageAugment(**{**OFF, "noise_chance": 1, "noise_std": (0.2, 0.2)})
    noise = augment_intensity(torch.zeros(1, 100, 100), Chance(0), settings)
    assert noise.std().item() == pytest.approx(0.2, rel=0.05)


def test_low_resolution_loses_detail_only() -> None:
    flat, checks = torch.full((1, 8, 8), 3.0), torch.zeros(1, 8, 8)
    checks[:, ::2] = 1
    assert torch.allclose(low_resolution(flat, 0.5), flat)
    assert low_resolution(checks, 0.5).std() < 0.1
