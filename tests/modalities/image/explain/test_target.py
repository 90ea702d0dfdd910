"""What is explained of an answer is what speaks for a class, whatever all logits have in common."""

import math

import pytest
import torch
from torch import Tensor, nn

from medray.modalities.image.explain import HOW, How
from medray.modalities.image.explain.methods import attribute
from medray.modalities.image.explain.target import OfClass, OverRegion, explained, regions
from medray.tasks import build_task

LESION, BRIGHT = (slice(2, 6), slice(2, 6)), (slice(10, 14), slice(8, 12))


class Parts(nn.Module):
    """A map of features for each of both places."""

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.zeros(len(x), 2, *x.shape[2:])
        for at, box in enumerate((LESION, BRIGHT)):
            maps[:, at, *box] = x[:, 0, *box]
        return maps


class Tells(nn.Module):
    """Tells a lesion by the logit of none, and raises both by what is bright elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = Parts()

    def forward(self, x: Tensor) -> Tensor:
        lesion, bright = self.maps(x).flatten(2).mean(2).unbind(1)
        return torch.stack([3 * bright - lesion, 3 * bright], 1)


@pytest.mark.parametrize("how", HOW)
def test_what_all_logits_have_in_common_is_not_explained(how: How) -> None:
    inputs = torch.zeros(1, 1, 16, 16)
    for box in (LESION, BRIGHT):
        inputs[0, 0, *box] = 1
    target = OfClass(torch.tensor([1]), exclusive=True)
    found = attribute(how, Tells().eval(), ["maps"], inputs, target)[0]
    lesion = float(found[LESION].sum())
    assert lesion > 0.02
    assert float(found[BRIGHT].abs().sum()) < 1e-3 * lesion


def test_of_two_classes_the_difference_of_logits_is_explained() -> None:
    logits = torch.tensor([[1.0, 4.0], [2.0, 0.5]])
    which = torch.tensor([1, 0])
    target = OfClass(which, exclusive=True)
    assert target(logits).tolist() == [3.0, 1.5]
    assert target.sure(logits.softmax(1)).tolist() == pytest.approx(
        [1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1.5))]
    )


def test_of_more_classes_it_is_the_log_of_the_odds() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(4, 5, requires_grad=True)
    target = OfClass(torch.tensor([0, 3, 4, 1]), exclusive=True)
    torch.testing.assert_close(target(logits), target.sure(logits.softmax(1)).logit())
    torch.testing.assert_close(target(logits + 7), target(logits))
    (gradient,) = torch.autograd.grad(target(logits).sum(), [logits])
    assert gradient.isfinite().all()
    torch.testing.assert_close(gradient.sum(1), torch.zeros(4))
    sure = torch.tensor([[90.0, -90.0, 0.0]])  # where the softmax is 1 in float32
    assert float(OfClass(torch.tensor([0]), exclusive=True)(sure)) == pytest.approx(90)


@pytest.mark.parametrize(
    ("task", "exclusive"),
    [
        ({"name": "classification", "classes": ["a", "b"]}, True),
        ({"name": "classification", "classes": ["a", "b"], "multi_label": True}, False),
        ({"name": "regression", "target": ["a", "b"]}, False),
        ({"name": "segmentation", "classes": ["none", "organ"]}, True),
        ({"name": "instances"}, True),
        ({"name": "detection", "classes": ["a", "b"]}, False),
    ],
)
def test_labels_values_and_boxes_stand_alone(task: dict[str, object], exclusive: bool) -> None:
    assert build_task(task).exclusive is exclusive


def test_labels_that_go_together_are_explained_by_their_logits() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0]])
    target = OfClass(torch.tensor([2]), exclusive=False)
    assert target(logits).tolist() == [2.0]
    assert target.sure(logits.sigmoid()).tolist() == pytest.approx([1 / (1 + math.exp(-2))])


def test_of_a_mask_the_mean_over_the_region_is_explained() -> None:
    logits = torch.zeros(2, 3, 2, 2)
    logits[0, 1, 0] = torch.tensor([3.0, 5.0])
    logits[0, 2, 1, 1] = 7.0
    task = build_task({"name": "segmentation", "classes": ["none", "organ", "tumour"]})
    first, second = regions(task, logits)
    assert (first.number, second.number) == (1, 2)
    others = math.log(2)  # of two logits of 0
    assert first(logits).tolist() == pytest.approx([4.0 - others, 0.0])  # of the second nothing is
    assert second(logits).tolist() == pytest.approx([7.0 - others, 0.0])  # predicted
    again = OverRegion(2, first.region, exclusive=True)
    elsewhere = [-math.log(1 + math.exp(value)) for value in (3, 5)]
    assert again(logits).tolist() == pytest.approx([sum(elsewhere) / 2, 0.0])
    shares = logits.softmax(1)
    assert first.sure(shares).tolist() == pytest.approx([float(shares[0, 1, 0].mean()), 0.0])


def test_of_regions_that_overlap_each_is_explained_where_it_is_on() -> None:
    classes = ["none", "oedema", "core"]
    overlapping = [
        {"name": "whole", "classes": ["oedema", "core"], "paints": "oedema"},
        {"name": "core", "classes": ["core"], "paints": "core"},
    ]
    task = build_task({"name": "segmentation", "classes": classes, "regions": overlapping})
    logits = torch.tensor([[2.0, 1.0, -1.0], [3.0, -2.0, -3.0]])[None, :, None]
    whole, core = regions(task, logits)
    assert (whole.number, core.number) == (0, 1)
    assert [float(whole(logits)), float(core(logits))] == [1.5, 3.0]


def test_of_instances_inside_and_border_are_explained() -> None:
    task = build_task({"name": "instances"})
    logits = torch.tensor([[5.0, 0, 0, 0], [0, 4.0, 2.0, 0], [0, 0, 0, 1.0]])[None, :, None]
    inside, border = regions(task, logits)
    assert [task.classes[one.number] for one in (inside, border)] == ["inside", "border"]
    others = math.log(2)
    assert float(inside(logits)) == pytest.approx(3.0 - others)
    assert float(border(logits)) == pytest.approx(1.0 - others)


def test_of_boxes_the_middles_of_what_is_called_are_explained() -> None:
    task = build_task({"name": "detection", "classes": ["one", "two"], "called_at": [0.5, 0.9]})
    maps = torch.full((1, 6, 1, 5), -9.0)
    maps[0, 0, 0] = torch.tensor([1.0, 2.0, 1.0, -3.0, 0.5])  # the third is no peak
    maps[0, 1, 0, 0] = 2.0  # .88: not called
    one, two = regions(task, maps)
    assert (one.number, two.number) == (0, 1)
    assert one.region[0, 0].tolist() == [False, True, False, False, True]
    assert not two.region.any()
    assert float(one(maps)) == pytest.approx(1.25)


def test_of_two_classes_the_second_is_explained_of_more_the_likeliest() -> None:
    assert explained(torch.tensor([[0.9, 0.1], [0.2, 0.8]])).tolist() == [1, 1]
    assert explained(torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]])).tolist() == [2, 0]
    assert explained(torch.tensor([[3.5]])).tolist() == [0]
