"""Connected parts over the borders of slabs, held against scipy on the whole image."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import ndimage

from medray.tasks.masks.parts import Rule, keep_parts


def whole(labels: np.ndarray, rules: list[Rule]) -> np.ndarray:
    """The same by scipy, on all of the image."""
    made = labels.copy()
    for rule in rules:
        mask = labels > 0 if rule.label is None else labels == rule.label
        parts, count = ndimage.label(mask, np.ones((3,) * labels.ndim))
        if not count:
            continue
        sizes = np.bincount(parts.ravel())[1:]
        stays = sizes >= max(rule.least, 1)
        if rule.largest:
            stays &= np.arange(count) == sizes.argmax()
        made[np.concatenate([[False], ~stays])[parts]] = 0
    return made


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shape", [(17, 12, 13), (30, 20), (1, 9, 9)])
def test_slabs_are_as_one_image(seed: int, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    dense = random.uniform(0.02, 0.4)
    labels = (random.integers(1, 4, shape) * (random.random(shape) < dense)).astype(np.uint8)
    if seed % 3 == 0:
        labels[labels == 2] = 0
    cuts = np.unique(random.integers(0, shape[0] + 1, seed % 5))
    slabs = [one for one in np.split(labels, cuts) if len(one)]
    for rules in (
        [Rule(None, largest=True)],
        [Rule(label, largest=True) for label in (1, 2, 3)],
        [Rule(1, largest=True, least=4), Rule(3, largest=False, least=3)],
    ):
        kept = list(keep_parts(iter(slabs), rules))
        assert [one.shape for one in kept] == [one.shape for one in slabs]
        assert np.array_equal(np.concatenate(kept), whole(labels, rules))
        assert np.concatenate(kept).dtype == np.uint8
    assert np.array_equal(np.concatenate(slabs), labels)  # what came in stays as it is


def test_a_part_may_wind_through_all_slabs() -> None:
    labels = np.zeros((8, 3, 20), np.uint8)
    labels[:, 1, 0] = labels[7, 1, :] = labels[:, 1, 19] = (
        1  # two towers that meet in the last slab
    )
    labels[0, 1, 5:13] = 1  # larger than either tower, smaller than both
    kept = np.concatenate(list(keep_parts(np.split(labels, 8), [Rule(1, largest=True)])))
    assert kept[0, 1, 5:13].sum() == 0
    assert kept.sum() == labels.sum() - 8


def slabs_of(count: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(count):
        slab = np.zeros((16, 128, 128), np.uint8)
        slab[:, 30:90, 30:90] = 1
        slab.reshape(-1)[random.integers(0, slab.size, 20)] = 1
        yield slab


def test_memory_does_not_grow_with_the_depth() -> None:
    peaks = []
    for count in (8, 8, 32):  # the first warms up
        tracemalloc.start()
        for _ in keep_parts(slabs_of(count), [Rule(None, largest=True), Rule(1, largest=True)]):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] <= 1.1 * peaks[1]
