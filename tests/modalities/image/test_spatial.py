import math

import numpy as np
import pytest
import torch

from medray.data.chance import Chance
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.spatial import Pose, cut, draw_pose, grid_ratio, window_of

STRONG = ImageAugment(
    spatial_chance=1, rotate_deg=40, scale=(0.8, 1.3), elastic_chance=1, elastic_voxels=1.5
)


def volume(shape: tuple[int, ...]) -> torch.Tensor:
    """A smooth image, so that interpolation errors are small."""
    axes = np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij")
    image = sum(np.sin(axis * (i + 1)) for i, axis in enumerate(axes))
    return torch.from_numpy(np.asarray(image, np.float32))[None]


def cut_at(pose: Pose, image: torch.Tensor, label: torch.Tensor, patch: tuple[int, ...]):
    box = window_of(pose, patch, image.shape[1:])
    start = [axis.start for axis in box]
    return cut(pose, image[(slice(None), *box)], label[box], start, patch, 3)


def test_a_patch_inside_is_the_slice_itself() -> None:
    image, label = torch.rand(2, 9, 10, 11), torch.randint(0, 3, (9, 10, 11))
    pose = draw_pose(Chance(0), (4, 4, 4), (9, 10, 11), (1, 1, 1), None, focus=(4, 5, 10))
    got, mask = cut_at(pose, image, label, (4, 4, 4))
    # Centred on the voxel: 2 before it, 1 after it, moved back from the border.
    assert torch.equal(got, image[:, 2:6, 3:7, 7:11])
    assert torch.equal(mask, label[2:6, 3:7, 7:11])


def test_a_small_image_lies_inside_the_patch_padded_with_zeros() -> None:
    image, label = torch.rand(1, 3, 5) + 1, torch.ones(3, 5, dtype=torch.long)
    for seed in range(20):
        pose = draw_pose(Chance(seed), (8, 8), (3, 5), (1, 1), ImageAugment(spatial_chance=0))
        got, mask = cut_at(pose, image, label, (8, 8))
        assert got.shape == (1, 8, 8)
        assert int((got > 0).sum()) == int(mask.sum()) == 15
        assert got.sum().item() == pytest.approx(image.sum().item())


def test_mirroring_and_quarter_turns_are_exact() -> None:
    image = torch.rand(1, 6, 6)
    label = (image[0] * 3).long()
    settings = ImageAugment(spatial_chance=0, rot90=True)
    seen = set()
    for seed in range(60):
        pose = draw_pose(Chance(seed), (6, 6), (6, 6), (1, 1), settings)
        got, mask = cut_at(pose, image, label, (6, 6))
        assert torch.equal(mask, (got[0] * 3).long())
        for turns in range(4):
            for flip in (False, True):
                wanted = torch.rot90(image, turns, (1, 2))
                if torch.equal(got, wanted.flip(1) if flip else wanted):
                    seen.add((turns, flip))
    assert len(seen) == 8  # the whole dihedral group, nothing else


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(20, 24), (14, 20, 18)])
def test_labels_move_with_the_image(seed: int, shape: tuple[int, ...]) -> None:
    """Label made of the image by thresholds; after any deformation it still is, but at borders."""
    image = volume(shape)
    low, high = np.quantile(image.numpy(), [0.4, 0.7])
    label = (image[0] > low).long() + (image[0] > high).long()
    patch = tuple(n - 4 for n in shape)
    pose = draw_pose(Chance(seed), patch, shape, (1,) * len(shape), STRONG)
    got, mask = cut_at(pose, image, label, patch)
    inside, _ = cut_at(pose, torch.ones_like(image), label, patch)
    wanted = (got[0] > low).long() + (got[0] > high).long()
    sure = inside[0] > 0.999
    agree = (wanted == mask)[sure].float().mean().item()
    assert sure.float().mean() > 0.3
    assert agree > 0.9


def test_interpolation_at_whole_voxels_is_the_crop() -> None:
    image, label = torch.rand(1, 9, 9, 9), torch.randint(0, 3, (9, 9, 9))
    exact = Pose(np.eye(3), np.array([4.0, 4.0, 4.0]))
    nearly = Pose(np.eye(3) + 1e-9, np.array([4.0, 4.0, 4.0]))
    for one, two in zip(
        cut_at(exact, image, label, (5, 5, 5)), cut_at(nearly, image, label, (5, 5, 5)), strict=True
    ):
        assert torch.allclose(one.float(), two.float(), atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_window_holds_all_that_is_needed(seed: int) -> None:
    image, label = torch.rand(1, 20, 20, 20), torch.randint(0, 3, (20, 20, 20))
    pose = draw_pose(Chance(seed), (6, 8, 6), (20, 20, 20), (1, 1, 1), STRONG)
    whole = cut(pose, image, label, (0, 0, 0), (6, 8, 6), 3)
    part = cut_at(pose, image, label, (6, 8, 6))
    assert torch.allclose(whole[0], part[0], atol=1e-4)
    assert (whole[1] == part[1]).float().mean() > 0.99


def test_another_spacing_is_interpolated_onto_the_grid() -> None:
    # A linear ramp sampled every second voxel is a ramp twice as steep.
    ramp = torch.arange(16, dtype=torch.float32).view(1, 16, 1).expand(1, 16, 16).contiguous()
    ratio = grid_ratio((2.0, 1.0), (1.0, 1.0), 2)
    assert ratio == (2.0, 1.0)
    pose = draw_pose(Chance(0), (6, 16), (16, 16), ratio, None, focus=(8, 8))
    got, _ = cut_at(pose, ramp, torch.zeros(16, 16, dtype=torch.long), (6, 16))
    assert torch.allclose(got[0, 1:, 5] - got[0, :-1, 5], torch.full((5,), 2.0), atol=1e-4)


def test_a_rotation_turns_by_the_angle_drawn() -> None:
    image = volume((31, 31))
    settings = ImageAugment(spatial_chance=1, rotate_deg=30, scale=(1, 1), mirror=())
    pose = draw_pose(Chance(3), (31, 31), (31, 31), (1, 1), settings)
    assert np.allclose(pose.matrix @ pose.matrix.T, np.eye(2))
    angle = math.degrees(math.atan2(pose.matrix[1, 0], pose.matrix[0, 0]))
    assert 0 < abs(angle) <= 30
    got, _ = cut_at(pose, image, torch.zeros(31, 31, dtype=torch.long), (31, 31))
    # Voxel 5 below the centre comes from the point that the matrix names.
    y, x = pose.matrix @ np.array([5, 0]) + 15
    y0, x0 = int(y), int(x)
    corners = image[0, y0 : y0 + 2, x0 : x0 + 2].numpy()
    wy, wx = np.array([1 - (y - y0), y - y0]), np.array([1 - (x - x0), x - x0])
    assert got[0, 20, 15].item() == pytest.approx(float(wy @ corners @ wx), abs=1e-4)


def test_many_classes_are_taken_by_nearest() -> None:
    label = torch.randint(0, 9, (12, 12))
    pose = Pose(np.eye(2) * 0.9, np.array([5.3, 5.6]))
    _, mask = cut(pose, torch.rand(1, 12, 12), label, (0, 0), (6, 6), 9)
    points = [pose.matrix @ (np.array([i, j]) - 2.5) + pose.centre for i in (1, 3) for j in (2, 4)]
    wanted = [label[round(y), round(x)].item() for y, x in points]
    assert mask[[1, 1, 3, 3], [2, 4, 2, 4]].tolist() == wanted


def test_border_padding_continues_the_image_but_not_the_label() -> None:
    image, label = torch.full((1, 4, 4), 7.0), torch.ones(4, 4, dtype=torch.long)
    for matrix in (np.eye(2), np.eye(2) * 1.01):
        pose = Pose(matrix, np.array([1.5, 1.5]))
        got, mask = cut(pose, image, label, (0, 0), (8, 8), 2, "border")
        assert torch.allclose(got, torch.full((1, 8, 8), 7.0))
        assert mask.sum() == 16


def test_equal_seeds_give_equal_poses() -> None:
    one, two, three = (
        draw_pose(Chance(seed), (8, 8, 8), (20, 20, 20), (1, 1, 1), STRONG) for seed in (5, 5, 6)
    )
    assert np.array_equal(one.matrix, two.matrix)
    assert np.array_equal(one.centre, two.centre)
    assert torch.equal(one.elastic, two.elastic)
    assert not np.array_equal(one.matrix, three.matrix)
