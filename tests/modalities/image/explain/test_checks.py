"""Checks of maps give what can be computed by hand, and find the map that says nothing."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medray.modalities.image.explain.checks import COUNT, Checks, columns
from medray.modalities.image.explain.fidelity import STEPS, centre_map, curves, random_maps
from medray.modalities.image.explain.methods import attribute
from medray.modalities.image.explain.randomised import (
    STAGES,
    WINDOW,
    randomised,
    rank_correlation,
    similarity,
)
from medray.modalities.image.explain.target import OfClass


def box_of(shape: tuple[int, ...], start: int, stop: int) -> Tensor:
    found = torch.zeros(shape)
    found[(slice(start, stop),) * len(shape)] = 1
    return found


def test_curves_of_a_network_that_sees_a_quarter() -> None:
    """How sure it is, is the share of a quarter of the image that is there."""
    seen = box_of((8, 8), 0, 4)
    images = torch.ones(2, 1, 8, 8)

    def answer(changed: Tensor) -> Tensor:
        return (changed[:, 0] * seen).flatten(1).sum(1) / 16

    # The right map puts it back in the first quarter of the steps, the wrong one in the last.
    inserted, deleted = curves(
        answer, images, torch.zeros_like(images), torch.stack([seen, 1 - seen])
    )
    rising = STEPS / 4  # steps: a ramp of that length has half its area
    high = (STEPS - rising / 2) / STEPS
    assert inserted == pytest.approx([high, rising / 2 / STEPS])
    assert deleted == pytest.approx([rising / 2 / STEPS, high])


def test_maps_that_know_nothing() -> None:
    blob = centre_map((9, 5))
    assert int(blob.argmax()) == 4 * 5 + 2
    assert float(blob[0, 0]) == pytest.approx(-((4 / 9) ** 2) - (2 / 5) ** 2)
    one, two, again = (random_maps((16, 16, 16), [seed])[0] for seed in (1, 2, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_ranks_and_structure_are_as_defined() -> None:
    values = np.random.default_rng(0).normal(size=(9, 11))
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(
        np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    ) == pytest.approx(0.8)
    assert rank_correlation(values, np.zeros((9, 11))) == 0
    assert similarity(values, 3 * values + 1) == pytest.approx(1)
    other = np.random.default_rng(1).normal(size=(9, 11))
    x, y = ((v - v.min()) / np.ptp(v) for v in (values, other))
    each = []
    for row, column in itertools.product(range(9 - WINDOW + 1), range(11 - WINDOW + 1)):
        a, b = (v[row : row + WINDOW, column : column + WINDOW].ravel() for v in (x, y))
        together = np.cov(a, b)
        light = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
        each.append(light * (2 * together[0, 1] + 9e-4) / (np.trace(together) + 9e-4))
    assert similarity(values, other) == pytest.approx(np.mean(each), abs=1e-9)


def test_weights_are_replaced_from_the_answer_back() -> None:
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2), nn.Linear(2, 2)]
    net = nn.Sequential(*layers).eval()
    with torch.no_grad():
        for one in net.parameters():
            one += 5
    before = {name: value.clone() for name, value in net.state_dict().items()}
    changed = []
    for made in randomised(net):
        assert not made.training
        now = made.state_dict()
        names = [name for name in now if not torch.equal(now[name], before[name])]
        changed.append({name.split(".")[0] for name in names})
    assert changed == [{"4"}, {"3", "4"}, {"1", "3", "4"}, {"0", "1", "3", "4"}]
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


class Edges(nn.Module):
    """Its layer has no say: it answers with what the image holds."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        held = (x**2).flatten(1).mean(1)
        return torch.stack([-held, held], 1)


def test_a_map_that_does_not_change_with_the_weights_is_seen() -> None:
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 8, 8))).float()
    target = OfClass(torch.tensor([1, 1]), exclusive=True)
    check = Checks(Edges().eval(), "", "integrated-gradients", lambda made: made.softmax(1))
    maps = attribute("integrated-gradients", Edges(), "", images, target)
    numbers = check.of(images, maps, target, ["a", "b"])
    assert numbers.shape == (2, COUNT)
    row = columns(numbers[0])
    assert row["randomised_rank"] == pytest.approx([1.0] * STAGES)
    assert row["randomised_ssim"] == pytest.approx([1.0] * STAGES)
    # The map is what the answer hangs on all the same.
    assert row["insertion"] > row["insertion_random"]
    assert row["deletion"] < row["deletion_random"]
    assert np.array_equal(numbers, check.of(images, maps, target, ["a", "b"]))
