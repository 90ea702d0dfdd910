"""Masks as further channels: how they are cut, augmented and streamed, and the coarse grid."""

import numpy as np
import pytest
import torch

from medray.data.chance import Chance
from medray.data.order import Order
from medray.errors import DataError, SpecError
from medray.modalities.image import Images
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.cases import Cases
from medray.modalities.image.guide.augment import PART_SHARE, augment_guide, grown, shrunk
from medray.modalities.image.guide.channels import beside, one_hot
from medray.modalities.image.guide.masks import guide_of
from medray.modalities.image.loader import Loader
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import ImagePlan, make_plan
from medray.modalities.image.survey import Fingerprint
from medray.storage.shards.samples import Sample
from medray.tasks import build_task

CLASSES = ("background", "a", "b")
TASK = build_task({"name": "segmentation", "classes": list(CLASSES)})
PLAIN = (ChannelNorm(scheme="none"),)
NEVER = {
    name: 0
    for name in ImageAugment.model_fields
    if name.endswith("_chance") and not name.startswith("guide")
} | {"mirror": ()}


def found(shape: tuple[int, ...], spacing: tuple[float, ...] | None, count: int = 5) -> Fingerprint:
    return Fingerprint(
        channels=1,
        shapes=(shape,) * count,
        spacings=(spacing,) * count,
        frequencies=(0.8, 0.1, 0.1),
    )


def guided(make_dataset, count: int = 4, side: int = 12):
    random = np.random.default_rng(1)
    samples = []
    for number in range(count):
        guide = random.integers(0, 3, (side,) * 3).astype(np.uint8)
        image = random.normal(100, 9, (1, *guide.shape)).astype(np.float32)
        row = {"spacing_mm": [1.0] * 3, "guide_classes": list(CLASSES)}
        arrays = {"image": image, "label": guide, "guide": guide}
        samples.append(Sample(f"s{number}", row, arrays))
    return make_dataset("guided", samples)


def test_each_class_but_the_first_is_a_channel() -> None:
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    assert one_hot(mask, 3).tolist() == [[[0, 1], [0, 1]], [[0, 0], [1, 0]]]
    with pytest.raises(DataError) as caught:
        one_hot(mask, 2, "s7")
    assert (caught.value.code, caught.value.about) == ("unknown-label", "s7")


@pytest.mark.parametrize("step", [1, 3, 7])
def test_slabs_of_image_and_guide_flow_together(step: int) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (7, 4, 5)).astype(np.uint8)
    image = np.arange(2 * mask.size, dtype=np.float32).reshape(2, *mask.shape)
    parts = [image[:, at : at + step] for at in range(0, 7, step)]
    made = list(beside(parts, mask, 3, "s"))
    assert [one.shape[1] for one in made] == [one.shape[1] for one in parts]
    whole = np.concatenate(made, axis=1)
    assert np.array_equal(whole[:2], image)
    assert np.array_equal(whole[2:], np.stack([mask == 1, mask == 2]).astype(np.float32))


def test_a_patch_has_the_guide_of_its_place(make_dataset) -> None:
    data = guided(make_dataset)
    cases = Cases(
        data, range(4), PLAIN, dims=3, classes=3, guide=guide_of(data, range(4)), cache_bytes=0
    )
    kept = Cases(data, range(4), PLAIN, dims=3, classes=3, guide=CLASSES, cache_bytes=2**20)
    assert kept.cached
    box = (slice(2, 9), slice(0, 4), slice(5, 12))
    assert torch.equal(cases.image(1, box), kept.image(1, box))
    still = ImageAugment.model_validate({**NEVER, "guide_shape_chance": 0, "guide_part_chance": 0})
    for augment in (None, still):
        batch = Loader(cases, Order(4, 2, 0), (6, 6, 6), augment=augment).batch(0)
        (part,) = batch.parts
        inputs, target = part.inputs, part.target
        assert inputs.shape == (2, 3, 6, 6, 6)
        assert torch.equal(inputs[:, 1], (target == 1).float())  # label and guide are one here
        assert torch.equal(inputs[:, 2], (target == 2).float())
    bright = ImageAugment.model_validate(
        {**NEVER, "brightness_chance": 1, "brightness": (3, 3), "guide_shape_chance": 0,
         "guide_part_chance": 0}
    )  # fmt: skip
    (part,) = Loader(cases, Order(4, 2, 0), (6, 6, 6), augment=bright).batch(0).parts
    inputs, target = part.inputs, part.target
    assert float(inputs[:, 0].mean()) == pytest.approx(300, rel=0.02)
    assert torch.equal(inputs[:, 1], (target == 1).float())


def test_masks_are_grown_and_shrunk_by_cubes() -> None:
    mask = torch.zeros(9, 9, 9)
    mask[4, 4, 4] = 1
    wide = grown(mask, 2)
    assert float(wide.sum()) == 5**3
    assert float(wide[2:7, 2:7, 2:7].sum()) == 5**3
    assert torch.equal(shrunk(wide, 2), mask)
    assert torch.equal(shrunk(torch.ones(4, 4), 3), torch.ones(4, 4))


def test_where_a_class_has_grown_others_give_way_and_nothing_is_lost_else() -> None:
    settings = ImageAugment(guide_shape_chance=1, guide_part_chance=0)
    guide = torch.zeros(2, 16, 16)
    guide[0, 2:8, 2:8], guide[1, 2:8, 8:14] = 1, 1
    before, changed = guide.clone(), 0
    for seed in range(40):
        made = augment_guide(guide, Chance(seed), settings)
        assert torch.equal(guide, before)
        assert float(made.sum(0).max()) <= 1
        changed += not torch.equal(made, guide)
        assert torch.equal(made, augment_guide(guide, Chance(seed), settings))
    assert 10 < changed < 40


def test_small_parts_are_lost_and_large_ones_stay() -> None:
    settings = ImageAugment(guide_shape_chance=0, guide_part_chance=1)
    guide = torch.zeros(1, 20, 20)
    guide[0, :12, :12] = 1  # more than the share
    guide[0, 15:18, 15:18] = 1
    guide[0, 15:18, 2:5] = 1
    assert float(guide[0, :12, :12].sum()) > PART_SHARE * guide[0].numel()
    sums = {float(augment_guide(guide, Chance(seed), settings).sum()) for seed in range(30)}
    assert sums == {162.0, 153.0}


def test_the_coarse_grid_is_that_of_which_a_patch_covers_a_quarter() -> None:
    given = ImagePlanOptions(patch=(24,) * 3, coarse=True)
    plan = make_plan(found((80,) * 3, (1.0,) * 3), TASK, given=given)
    # 24**3 / (80 / s)**3 = .25 at s = 2.0999
    assert plan.spacing_mm == pytest.approx((2.13,) * 3, rel=0.02)
    assert 24**3 / np.prod(plan.median_shape) == pytest.approx(0.25, rel=0.06)
    fine = make_plan(found((80,) * 3, (1.0,) * 3), TASK, given=ImagePlanOptions(patch=(24,) * 3))
    assert fine.spacing_mm is None
    assert "covers 2.7% of it; where" in fine.reasons["median_shape"]
    assert "a cascade may find more" in Images().describe(fine)[1]
    given = ImagePlanOptions(patch=(24,) * 3, guide=True)
    second = make_plan(found((80,) * 3, (1.0,) * 3), TASK, given=given)
    assert second.reasons["median_shape"] == "a patch covers 2.7% of it"
    near = make_plan(found((30,) * 3, (1.0,) * 3), TASK, given=ImagePlanOptions(patch=(24,) * 3))
    assert near.reasons["median_shape"] == "a patch covers 51.2% of it"


def test_fine_axes_grow_until_they_are_like_the_coarse_ones() -> None:
    given = ImagePlanOptions(patch=(16, 32, 32), coarse=True)
    plan = make_plan(found((40, 256, 256), (4.0, 0.5, 0.5)), TASK, given=given)
    assert plan.spacing_mm is not None
    # 40 * 64 * 64 voxels of (4, 2, 2) mm are 2.5 times too many: 2.5 ** (1 / 3) = 1.357
    assert plan.spacing_mm == pytest.approx((4 * 1.357, 2 * 1.357, 2 * 1.357), rel=0.04)


@pytest.mark.parametrize(
    ("shape", "spacing", "code"),
    [((30,) * 3, (1.0,) * 3, "covers-enough"), ((80,) * 3, None, "no-spacing")],
)
def test_a_coarse_grid_that_cannot_be_is_refused(shape, spacing, code: str) -> None:
    given = ImagePlanOptions(patch=(24,) * 3, coarse=True)
    with pytest.raises(SpecError) as caught:
        make_plan(found(shape, spacing), TASK, given=given)
    assert (caught.value.code, caught.value.about) == (code, "plan.coarse")


def test_samples_without_a_guide_or_with_another_are_named(make_dataset) -> None:
    data = guided(make_dataset)
    with pytest.raises(DataError) as caught:
        Cases(data, range(4), PLAIN, dims=3, classes=3, guide=("background", "b", "a"))
    assert (caught.value.code, caught.value.about) == ("other-guide", "s0")
    image = np.zeros((1, 8, 8, 8), np.int16)
    bare = make_dataset("bare", [Sample("s9", {"spacing_mm": [1.0] * 3}, {"image": image})])
    with pytest.raises(DataError) as caught:
        guide_of(bare, [0])
    assert (caught.value.code, caught.value.about) == ("no-guide", "s9")


def test_guides_are_of_tasks_that_draw_masks() -> None:
    whole = build_task({"name": "classification", "classes": ["a", "b"]})
    for name in ("guide", "coarse"):
        with pytest.raises(SpecError) as caught:
            Images().sketch({}, ImagePlanOptions.model_validate({name: True}), whole, 3)
        assert (caught.value.code, caught.value.about) == ("no-masks", f"plan.{name}")
    with pytest.raises(ValueError, match="`coarse` or `spacing_mm`"):
        ImagePlanOptions(coarse=True, spacing_mm=(2.0, 2.0, 2.0))


def test_a_guided_model_says_so_and_has_no_maps() -> None:
    plan = ImagePlan(
        dims=3, in_channels=2, guide=CLASSES, answers="place", classes=CLASSES, patch=(8,) * 3,
        batch_size=2, channels=PLAIN * 2, pool_steps=((2, 2, 2),), frequencies=(0.5, 0.3, 0.2),
        median_shape=(8,) * 3, samples=4,
    )  # fmt: skip
    assert plan.inputs == 4
    guided, alone = (
        one.model_dump(mode="json") for one in (plan, plan.model_copy(update={"guide": ()}))
    )
    assert Images().guided_by(guided) == CLASSES
    assert Images().guided_by(alone) == ()
    assert Images().wire(guided).outputs == ("labels", "probabilities")
    assert "occlusion" in Images().wire(alone).outputs
