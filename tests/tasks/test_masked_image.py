import numpy as np
import pytest
import torch

from medray.errors import SpecError
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.masked_image import MaskedImage


def masked(**options: float) -> MaskedImage:
    task = build_task({"name": "masked-image", **options})
    assert isinstance(task, MaskedImage)
    return task


def test_a_share_of_blocks_is_hidden_another_each_time() -> None:
    fine = masked(mask_ratio=0.25, block=1).hidden((6, 8), 3)
    assert fine.sum() == 12  # of 48
    task = masked(mask_ratio=0.5, block=4)
    each = [task.hidden((16, 12, 8), seed) for seed in range(40)]
    assert np.array_equal(each[0], task.hidden((16, 12, 8), 0))
    assert len({one.tobytes() for one in each}) == 40
    assert np.mean(each) == pytest.approx(0.5, abs=0.03)
    # Every voxel may be hidden, and edges of blocks lie four voxels apart.
    assert 0.2 < np.mean(each, 0).min() < np.mean(each, 0).max() < 0.8
    for one in each[:5]:
        for axis in range(3):
            edges = np.unique(np.nonzero(np.diff(one, axis=axis))[axis] % 4)
            assert len(edges) == 1


def test_something_is_hidden_and_something_seen() -> None:
    for ratio in (0.01, 0.99):
        hidden = masked(mask_ratio=ratio, block=4).hidden((8, 8), 0)
        assert 0 < hidden.sum() < 64


def test_blocks_that_are_the_patch_are_refused() -> None:
    with pytest.raises(SpecError) as caught:
        masked(block=8).hidden((8, 16), 0)
    assert (caught.value.code, caught.value.about) == ("block-too-large", "task.block")
    masked(block=8).hidden((1, 16, 16), 0)  # a thin one has enough of them


def test_the_loss_is_of_hidden_voxels_alone() -> None:
    image = torch.zeros(2, 2, 2, 2)
    hidden = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 0]]]).bool()[:, None]
    outputs = torch.zeros(2, 2, 2, 2)
    outputs[0, 0, 0, 0], outputs[0, 1, 0, 0] = 3.0, -1.0
    outputs[:, :, 1] = 100.0  # seen
    outputs[1, 0, 0, 1] = 2.0
    loss = masked().loss(outputs, {"image": image, "hidden": hidden})
    assert loss.tolist() == [2.0, 0.5]
    deep = masked().loss([outputs, outputs[..., :1] + 7], {"image": image, "hidden": hidden})
    assert deep.tolist() == [2.0, 0.5]


def test_a_case_is_judged_beside_the_mean_of_what_was_seen() -> None:
    truth = np.array([[[1.0, 3.0], [5.0, 9.0]]])
    answer = np.array([[[np.nan, np.nan], [4.0, 6.0]]])
    task = masked()
    row = task.judge(answer, truth)
    assert row == [2.0, 5.0]  # |4 - 5|, |6 - 9|; the mean seen is 2
    assert task.summarise(np.array([row, [1.0, 1.0]]), None) == {
        "val_restored_error": 1.5,
        "val_mean_error": 3.0,
    }
    assert not task.metric_of("val_restored_error").higher_is_better
    assert set(task.validates) == {"val_restored_error", "val_mean_error"}


def test_nothing_is_scored() -> None:
    with pytest.raises(SpecError, match="restores-only"):
        masked().score(Sample("a", {}), None)
