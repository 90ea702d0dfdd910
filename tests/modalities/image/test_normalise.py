import numpy as np
import pytest

from medray.errors import SpecError
from medray.modalities.image.normalise import (
    ChannelNorm,
    image_statistics,
    normaliser,
    stored_statistics,
)


def test_zscore_is_by_the_image_and_slab_by_slab() -> None:
    image = np.random.default_rng(0).integers(-50, 900, (2, 6, 5, 4)).astype(np.int16)
    apply = normaliser([ChannelNorm()] * 2, *image_statistics([image]))
    whole = apply(image)
    assert whole.dtype == np.float32
    for channel in whole:
        assert abs(channel.mean()) < 1e-5
        assert channel.std() == pytest.approx(1, abs=1e-5)
    assert np.array_equal(apply(image[:, 2:4]), whole[:, 2:4])


def test_ct_is_clipped_then_scaled_by_the_data_set() -> None:
    norm = ChannelNorm(scheme="ct", low=-100, high=300, mean=50, std=100)
    values = np.array([[-1000, -100, 50, 300, 3000]], np.int16)
    got = normaliser([norm], [0.0], [1.0])(values)
    assert got.tolist() == [[-1.5, -1.5, 0.0, 2.5, 2.5]]


def test_other_schemes() -> None:
    values = np.array([[1, 3]], np.uint8)
    assert normaliser([ChannelNorm(scheme="none")], [9], [9])(values).tolist() == [[1, 3]]
    norm = ChannelNorm(scheme="dataset", mean=1, std=2)
    assert normaliser([norm], [9], [9])(values).tolist() == [[0, 1]]


def test_an_image_of_one_value_becomes_zero() -> None:
    image = np.full((1, 4, 4), 7, np.int16)
    assert not normaliser([ChannelNorm()], *image_statistics([image]))(image).any()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_statistics_over_slabs_are_those_of_the_whole(kind: type) -> None:
    drawn = np.random.default_rng(0).normal(140, 40, (2, 50, 40, 41)).clip(0, 255).astype(kind)
    for image in (drawn, np.full_like(drawn, 255)):
        means, stds = image_statistics(image[:, at : at + 16] for at in range(0, 50, 16))
        np.testing.assert_allclose(means, image.mean((1, 2, 3), np.float64), rtol=1e-9)
        np.testing.assert_allclose(stds, image.std((1, 2, 3), np.float64), rtol=1e-7)


def test_channels_that_do_not_agree_are_refused() -> None:
    with pytest.raises(SpecError, match="channel-mismatch"):
        normaliser([ChannelNorm()], [0.0], [1.0])(np.zeros((3, 2, 2)))


def test_stored_statistics_serve_one_channel_only() -> None:
    row = {"image_mean": 3.0, "image_std": 2.0}
    assert stored_statistics(row, 1) == ([3.0], [2.0])
    assert stored_statistics(row, 3) is None
    assert stored_statistics({}, 1) is None
