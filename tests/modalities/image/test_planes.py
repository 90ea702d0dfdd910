"""Volumes for pages: turned as the patient lies, thinned to what a page holds."""

import itertools
from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest

from medray.modalities.image.pages import leafed
from medray.modalities.image.radiology.orient import turn_of
from medray.modalities.image.radiology.planes import VOXELS, steps_of, volume_of
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.tasks import build_task
from medray.tasks.section import Picture

Make = Callable[[str, list[Sample]], Dataset]
CODES = ["".join(one) for one in itertools.product("RL", "AP", "SI")]


def affine_of(codes: str) -> np.ndarray:
    """Of a volume whose voxel axes x, y, z run to these sides, 2 x 3 x 4 mm."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (code, size) in enumerate(zip(codes, (2.0, 3.0, 4.0), strict=True)):
        row = next(at for at, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[row, axis] = size if code in "RAS" else -size
    return affine


@pytest.mark.parametrize("codes", [*CODES, "SAR", "PIR", "ASL", "IPL"], ids=lambda codes: codes)
def test_any_order_of_axes_is_turned_as_nibabel_turns_it(codes: str) -> None:
    affine = affine_of(codes)
    assert "".join(nib.aff2axcodes(affine)) == codes
    values = np.random.default_rng(0).normal(size=(5, 6, 7))  # (x, y, z)
    # To the left, to the back, to the head.
    wanted = nib.orientations.apply_orientation(
        values,
        nib.orientations.ornt_transform(
            nib.io_orientation(affine), nib.orientations.axcodes2ornt(tuple("LPS"))
        ),
    )
    turn = turn_of(affine.reshape(-1).tolist())
    assert turn is not None
    assert np.array_equal(turn(values.T), wanted.T)
    assert turn.oblique_deg == 0
    sizes = dict(zip(codes, (2.0, 3.0, 4.0), strict=True))
    named = [next(sizes[code] for code in sizes if code in pair) for pair in ("SI", "AP", "RL")]
    assert turn.sizes((4.0, 3.0, 2.0)) == tuple(named)


def test_a_tilted_stack_is_turned_by_the_nearest_axes() -> None:
    tilt = np.radians(18.5)
    affine = np.eye(4)
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]
    turn = turn_of(affine.reshape(-1).tolist())
    assert turn is not None
    assert (turn.order, turn.oblique_deg) == ((0, 1, 2), pytest.approx(18.5))
    assert turn_of(None) is None
    assert turn_of([0.0] * 16) is None


def test_volumes_are_thinned_along_the_finest_axes() -> None:
    assert steps_of((40, 96, 96), (5.0, 1.0, 1.0)) == [1, 1, 1]
    steps = steps_of((60, 512, 512), (5.0, 0.7, 0.7))
    assert steps[0] == 1
    assert abs(steps[1] - steps[2]) <= 1
    shape = [-(-size // step) for size, step in zip((60, 512, 512), steps, strict=True)]
    assert VOXELS / 2 < np.prod(shape) <= VOXELS
    assert np.prod(steps_of((1, 10**4, 10**5), (1.0, 1.0, 1.0))) >= 10**9 / VOXELS


def test_a_case_keeps_its_values_and_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medray.modalities.image.radiology.planes.VOXELS", 40 * 12 * 10)
    image = np.random.default_rng(0).integers(-1000, 900, (1, 80, 12, 10)).astype(np.int16)
    mask = (image[0] > 500).astype(np.uint8)
    row = {"spacing_mm": [1.0, 2.0, 2.0], "affine": np.diag([2.0, 2, 1, 1]).reshape(-1).tolist()}
    stored = InMemory(Sample("c", row, {"image": image}))
    made = volume_of("best", "said", stored, {"truth": mask}, [("a", (1, 2, 3))])
    # RAS+: the head is last already, front and right are turned.
    wanted = image[0, ::2, ::-1, ::-1]
    assert np.array_equal(made.slope * made.values + made.intercept, wanted)
    assert np.array_equal(made.masks["truth"], mask[::2, ::-1, ::-1])
    assert (made.lettered, made.sizes_mm) == (True, (2.0, 2.0, 2.0))
    assert made.caption == "said · every 2 x 1 x 1 voxels of [80, 12, 10]"
    low, high = np.percentile(wanted, (1, 99))
    assert made.window == pytest.approx(((low + high) / 2, high - low))

    real = InMemory(Sample("c", {}, {"image": image[:, :4].astype(np.float32) / 7}))
    made = volume_of("best", "", real, {}, [])
    back = made.slope * made.values.astype(float) + made.intercept
    assert np.abs(back - image[0, :4] / 7).max() <= made.slope
    assert not made.lettered
    assert "does not say how the patient lies" in made.caption


def test_of_pictures_nothing_is_leafed_through(make_dataset: Make) -> None:
    task = build_task({"name": "segmentation", "classes": ["none", "a"]})
    deep = Sample("v", {}, {"image": np.zeros((1, 3, 8, 8)), "label": np.ones((3, 8, 8), np.uint8)})
    flat = Sample("p", {}, {"image": np.zeros((1, 8, 8)), "label": np.ones((8, 8), np.uint8)})
    for sample, count in ((deep, 1), (flat, 0)):
        truth = make_dataset(f"{sample.id}-truth", [sample])
        given = make_dataset(
            f"{sample.id}-given", [Sample(sample.id, {}, {"label": sample.arrays["label"]})]
        )
        made = leafed([Picture("best", "", [(sample.id, "")])], task, truth, given)
        assert len(made) == count
        assert [list(one.masks) for one in made] == [["truth", "prediction"]] * count
