"""Drawn images: what is said of them, and how they are stored."""

from collections.abc import Callable

import numpy as np
import pytest

from medray.errors import SpecError
from medray.modalities.image.drawn.appraisal import appraise
from medray.modalities.image.drawn.features import frechet, kernel_distance
from medray.modalities.image.drawn.plan import alike, stored_as
from medray.modalities.image.normalise import ChannelNorm, normaliser, restored
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import ImagePlan
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks.synthesis import Synthesis

Make = Callable[[str, list[Sample]], Dataset]
TASK = Synthesis(Synthesis.Options(classes=("dark", "light")))
PLAN = ImagePlan(
    answers="image",
    classes=("dark", "light"),
    batch_size=2,
    frequencies=(0.5, 0.5),
    samples=60,
    dims=2,
    in_channels=1,
    patch=(16, 16),
    channels=(ChannelNorm(scheme="dataset", mean=100.0, std=20.0),),
    pool_steps=((2, 2),),
    median_shape=(16, 16),
)


def noise(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(100, 20, (count, 1, 16, 16))
    found: np.ndarray = np.clip(drawn, 0, 255).astype(np.uint8)
    return found


def samples(images: np.ndarray, prefix: str) -> list[Sample]:
    return [
        Sample(
            f"{prefix}{at:03d}", {"target": at % 2, "subject": f"{prefix}{at}"}, {"image": image}
        )
        for at, image in enumerate(images)
    ]


def test_copies_of_what_was_learnt_are_told_and_new_images_are_not(make_dataset: Make) -> None:
    real = make_dataset("real", samples(noise(120, 0), "r"))
    fresh = make_dataset("fresh", samples(noise(60, 1), "f"))
    copied = noise(60, 1)
    copied[::2] = noise(120, 0)[:30] + 1  # of those that were learnt
    copies = make_dataset("copies", samples(copied, "c"))
    learnt = list(range(60))
    one = appraise(fresh.shards[:], PLAN, TASK, real, learnt, 0, None)
    other = appraise(copies.shards[:], PLAN, TASK, real, learnt, 0, None)
    assert one["metrics"]["copies"] < 0.1
    assert other["metrics"]["copies"] == pytest.approx(0.5, abs=0.05)
    assert one["summary"]["cautions"] == []
    assert "what it has learnt" in other["summary"]["cautions"][0]
    closest = other["summary"]["closest"][0]
    assert closest["case"][0] == "c"
    assert int(closest["learnt"][1:]) * 2 == int(closest["case"][1:])
    assert other["summary"]["classes"] == {"dark": 30, "light": 30}


def test_images_that_are_all_alike_are_told(make_dataset: Make) -> None:
    real = make_dataset("real", samples(noise(60, 0), "r"))
    same = np.repeat(noise(1, 5), 40, 0)
    same[:, :, 0] = noise(40, 6)[:, :, 0]
    alike = make_dataset("alike", samples(same, "a"))
    found = appraise(alike.shards[:], PLAN, TASK, real, list(range(30)), 0, None)
    assert found["metrics"]["diversity"] < 0.4
    assert any("too alike" in one for one in found["summary"]["cautions"])


def test_the_frechet_distance_of_known_normals() -> None:
    # One feature: (difference of means)^2 + (difference of deviations)^2.
    one = np.array([[-1.0], [1.0]] * 50)
    other = 3 * one + 4
    deviation = one.std(ddof=1)
    assert frechet(one, other) == pytest.approx(16 + (2 * deviation) ** 2)
    # Independent features add up; the same set is at no distance.
    both, others = np.hstack([one, one[::-1]]), np.hstack([other, one[::-1]])
    generator = np.random.default_rng(0)
    spread = generator.normal(size=(400, 6))
    assert frechet(spread, spread) == pytest.approx(0, abs=1e-6)
    assert frechet(both, others) > 16


def test_the_kernel_distance_by_hand() -> None:
    one, other = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[2.0, 2.0], [0.0, 0.0]])

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 2 + 1) ** 3)

    across = np.mean([kernel(a, b) for a in one for b in other])
    wanted = kernel(*one) + kernel(*other) - 2 * across
    assert kernel_distance(one, other) == pytest.approx(wanted)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_intensities_come_back(dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 255, (2, 5, 7)).astype(dtype)
    channels = (
        ChannelNorm(scheme="dataset", mean=30.0, std=7.0),
        ChannelNorm(scheme="ct", low=-10.0, high=300.0, mean=90.0, std=40.0),
    )
    there = normaliser(channels, [0, 0], [1, 1])(image)
    back = restored(there, channels, dtype)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_allclose(back, image, atol=1e-4)


def test_whole_numbers_are_clipped_to_what_they_can_hold() -> None:
    image = np.array([[[-3.0, 0.0, 3.0]]], np.float32)
    found = restored(image, (ChannelNorm(scheme="dataset", mean=128.0, std=100.0),), "uint8")
    assert found.tolist() == [[[0, 128, 255]]]


def test_images_that_are_normalised_by_themselves_have_no_way_back() -> None:
    with pytest.raises(SpecError) as told:
        alike(ImagePlanOptions(normalise="zscore"))
    assert told.value.code == "no-common-scale"
    assert alike(ImagePlanOptions()).normalise == "dataset"
    assert stored_as("uint8", [(1.0, 1.0), (1.0, 2.0)]).spacing_mm is None
    assert stored_as("uint8", [(1.0, 2.0)] * 2).spacing_mm == (1.0, 2.0)
