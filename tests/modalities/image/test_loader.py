import numpy as np
import pytest
import torch

from medray.data.order import Order
from medray.errors import DataError, SpecError
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.cases import Cases
from medray.modalities.image.loader import Loader, whole_image, whole_pose
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.spatial import cut
from medray.storage.catalog.datasets import Dataset

AUGMENT = ImageAugment(elastic_chance=0.5, spatial_chance=0.7)


def cases_of(dataset: Dataset, **options: object) -> Cases:
    chosen = dataset.select({"split": "train"})
    settings = {"dims": 3, "classes": 3, "cache_bytes": 2**30, **options}
    return Cases(dataset, chosen, [ChannelNorm()], **settings)


def loader_of(cases: Cases, rank: int = 0, size: int = 1, **options: object) -> Loader:
    order = Order(len(cases), 6, seed=3)
    settings = {"augment": AUGMENT, "foreground": 0.5, **options}
    return Loader(cases, order, (8, 8, 8), rank=rank, size=size, **settings)


@pytest.mark.parametrize("size", [2, 3])
def test_data_are_the_same_bits_for_any_number_of_ranks(balls: Dataset, size: int) -> None:
    alone = list(loader_of(cases_of(balls)).batches(2, 5))
    shares = [list(loader_of(cases_of(balls), rank, size).batches(2, 5)) for rank in range(size)]
    for step, batch in enumerate(alone):
        (whole,), parts = batch.parts, [share[step].parts[0] for share in shares]
        assert torch.equal(torch.cat([part.inputs for part in parts]), whole.inputs)
        assert torch.equal(torch.cat([part.target for part in parts]), whole.target)


def test_prefetch_changes_nothing_and_steps_come_in_order(balls: Dataset) -> None:
    loader = loader_of(cases_of(balls))
    ahead = list(loader.batches(1, 7))
    assert [batch.step for batch in ahead] == [1, 2, 3, 4, 5, 6]
    for batch in ahead:
        assert torch.equal(batch.parts[0].inputs, loader.batch(batch.step).parts[0].inputs)


def test_lazy_reading_gives_what_the_cache_gives(balls: Dataset) -> None:
    cached, lazy = cases_of(balls), cases_of(balls, cache_bytes=0)
    assert cached.cached
    assert not lazy.cached
    for one, two in zip(
        loader_of(cached).batches(0, 3), loader_of(lazy).batches(0, 3), strict=True
    ):
        assert torch.equal(one.parts[0].inputs, two.parts[0].inputs)
        assert torch.equal(one.parts[0].target, two.parts[0].target)


def test_foreground_patches_hold_foreground(balls: Dataset) -> None:
    cases = cases_of(balls)
    every = loader_of(cases, augment=None, foreground=1.0)
    for batch in every.batches(0, 4):
        # Without deformation the voxel that was drawn is inside.
        assert all(bool(target.any()) for target in batch.parts[0].target)
    half = loader_of(cases, foreground=0.5)
    chosen = [half._focus(draw, _chance()) is not None for draw in half.order.batch_at(0)]
    assert sum(chosen) == 3


def _chance():
    from medray.data.chance import Chance

    return Chance(0)


def test_foreground_voxels_are_of_their_class(balls: Dataset) -> None:
    cases = cases_of(balls)
    for case in range(len(cases)):
        label = cases.label(case).numpy()
        for number, voxels in enumerate(cases.foreground(case), start=1):
            assert len(voxels) == (512 if (label == number).any() else 0)
            assert (label[tuple(voxels.T)] == number).all()


def test_images_are_normalised(balls: Dataset) -> None:
    image = cases_of(balls).image(0)
    assert image.mean().item() == pytest.approx(0, abs=1e-5)
    assert image.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_a_class_beyond_the_task_is_refused_by_name(balls: Dataset) -> None:
    cases = cases_of(balls, classes=2)
    with pytest.raises(DataError, match="unknown-label") as caught:
        [cases.foreground(case) for case in range(len(cases))]
    assert caught.value.about.startswith("s")


def test_other_axes_and_empty_selections_are_refused(balls: Dataset) -> None:
    with pytest.raises(SpecError, match="dims-mismatch"):
        cases_of(balls, dims=2)
    with pytest.raises(SpecError, match="no-samples"):
        Cases(balls, [], [ChannelNorm()], dims=3)


def test_whole_images_are_fitted_without_aliasing() -> None:
    fine = torch.zeros(1, 32, 32)
    fine[:, ::2] = 1  # stripes of one pixel: every second sample would be all or nothing
    assert torch.allclose(whole_image(fine, (8, 8)), torch.full((1, 8, 8), 0.5))
    image = torch.rand(3, 8, 8)
    assert torch.equal(whole_image(image, (8, 8)), image)
    assert whole_image(torch.ones(1, 20, 10), (8, 8)).shape == (1, 8, 8)


def test_whole_images_of_several_shapes_lie_as_their_poses_say() -> None:
    for shape in [(12, 9), (9, 12), (7, 7), (12, 9), (8, 5)] * 2:
        image = torch.rand(2, *shape)
        wanted, _ = cut(whole_pose((8, 8), shape), image, None, (0, 0), (8, 8), 0)
        assert torch.equal(whole_image(image, (8, 8)), wanted)


def test_whole_images_come_with_their_targets(balls: Dataset) -> None:
    cases = cases_of(balls, classes=0)
    targets = torch.arange(len(cases))
    loader = loader_of(cases, targets=targets, augment=None)
    (batch,) = loader.batch(1).parts
    drawn = [draw.sample for draw in loader.order.batch_at(1)]
    assert batch.inputs.shape == (6, 1, 8, 8, 8)
    assert batch.target.tolist() == drawn
    wanted = whole_image(cases.image(drawn[0]), (8, 8, 8))
    assert np.array_equal(batch.inputs[0].numpy(), wanted.numpy())


@pytest.mark.parametrize("laid", [False, True])
def test_images_come_in_parts_and_laid_out(balls: Dataset, laid: bool) -> None:
    cases = cases_of(balls)
    image = cases.image
    cases.image = lambda *which: image(*which).expand(2, -1, -1, -1)  # type: ignore[method-assign]
    (whole,) = loader_of(cases).batch(2).parts
    cut = loader_of(cases, parts=4, channels_last=laid).batch(2)
    assert [len(part.inputs) for part in cut.parts] == [2, 2, 2]
    assert torch.equal(torch.cat([part.inputs for part in cut.parts]), whole.inputs)
    assert torch.equal(torch.cat([part.target for part in cut.parts]), whole.target)
    assert [part.inputs.stride(1) for part in cut.parts] == [1 if laid else 512] * 3
