"""Boxes go where their voxels go, and windows tell each object once."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

from medray.data.chance import Chance
from medray.data.order import Order
from medray.errors import SpecError
from medray.modalities.base import Asking, Trained
from medray.modalities.image import Images
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.explain.methods import hidden
from medray.modalities.image.explain.target import OverRegion
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.objects.cases import ObjectCases
from medray.modalities.image.objects.find import find
from medray.modalities.image.objects.judge import judge_objects
from medray.modalities.image.objects.loader import ObjectLoader, posed
from medray.modalities.image.objects.overlay_format import BoxOverlay
from medray.modalities.image.objects.pages import COLOURS, Frame, draw_boxes
from medray.modalities.image.overlay import COLOURS as CLASS_COLOURS
from medray.modalities.image.plan import ImagePlan
from medray.modalities.image.spatial import Pose, cut, draw_pose
from medray.modalities.wire import Limits
from medray.models.image.centernet import CenterNet
from medray.serving.answer import Answerer
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.stored import InMemory
from medray.tasks import build_task
from tests.tasks.test_detection import maps_of

TASK = {"name": "detection", "classes": ["one", "two"]}


def bounds(mask: np.ndarray) -> list[int]:
    """Edges of what is marked: where it begins along each axis, where it ends."""
    places = np.argwhere(mask)
    return [*places.min(0).tolist(), *(places.max(0) + 1).tolist()]


@pytest.mark.parametrize("shape", [(30, 40), (14, 20, 18)])
def test_boxes_lie_where_their_voxels_lie(shape: tuple[int, ...]) -> None:
    """Mirrored, turned by quarters and cropped: the box is exactly that of the voxels."""
    axes = len(shape)
    begin, end = [4] * axes, [9 + 2 * axis for axis in range(axes)]
    image = np.zeros((1, *shape), np.float32)
    image[(0, *map(slice, begin, end))] = 1
    settings = ImageAugment(spatial_chance=0, rot90=True)
    patch, met = (12,) * axes, set()
    for seed in range(40):
        pose = draw_pose(Chance(seed), patch, shape, (1.0,) * axes, settings, focus=[6] * axes)
        patched, _ = cut(pose, torch.from_numpy(image), None, (0,) * axes, patch, 0)
        inside, seen = posed(np.array([[*begin, *end]], np.float32), pose, patch)
        assert inside[0].tolist() == bounds(patched[0].numpy() > 0.5)
        volume = np.prod(np.subtract(end, begin))
        assert seen[0] == pytest.approx(float(patched.sum()) / volume)
        met.add(tuple(inside[0].tolist()))
    assert len(met) > 3


def test_a_rotated_ball_keeps_its_box_and_zoom_changes_it() -> None:
    angle = np.pi / 4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([9.5, 9.5])  # of a patch of 20 x 20
    inside, _ = posed(np.array([[6, 6, 14, 14]], np.float32), Pose(turn, centre), (20, 20))
    assert inside[0] == pytest.approx([6, 6, 14, 14], abs=1e-5)
    inside, _ = posed(np.array([[6, 6, 14, 14]], np.float32), Pose(np.eye(2) / 2, centre), (20, 20))
    assert inside[0] == pytest.approx([2, 2, 18, 18])
    long, _ = posed(np.array([[9, 5, 11, 15]], np.float32), Pose(turn, centre), (20, 20))
    half = np.sqrt((1 + 25) / 2)
    assert long[0] == pytest.approx([10 - half, 10 - half, 10 + half, 10 + half], abs=1e-5)


def test_what_lies_half_outside_is_cut_and_told() -> None:
    pose = Pose(np.eye(2), np.array([4.5, 4.5]))  # the image's first 10 x 10
    boxes = np.array([[2, 8, 6, 12], [2, 12, 6, 16]], np.float32)
    inside, seen = posed(boxes, pose, (10, 10))
    assert inside[0].tolist() == [2, 8, 6, 10]
    assert seen.tolist() == [0.5, 0.0]


@pytest.fixture
def squares(make_dataset: Callable[[str, list[Sample]], Dataset]) -> Dataset:
    """Six pictures; each has an object of class one that is bright, one has none."""
    samples = []
    for number in range(6):
        image = np.zeros((1, 24, 24), np.uint8)
        objects = []
        if number:
            at = 3 * number
            image[0, at : at + 6, at : at + 6] = 200
            kind = {"class": "one", "difficult": number == 5, "crowd": False}
            objects.append({"begin": [float(at)] * 2, "end": [at + 6.0] * 2, **kind})
        row = {"split": "train", "spacing_mm": [1.0, 1.0], "objects": objects}
        samples.append(Sample(f"s{number}", row, {"image": image}))
    return make_dataset("squares", samples)


def loader_of(dataset: Dataset, **options: object) -> ObjectLoader:
    channels = [ChannelNorm(scheme="none")]
    cases = ObjectCases(dataset, range(6), channels, build_task(TASK), dims=2, cache_bytes=2**20)
    return ObjectLoader(cases, Order(6, 6, 1), (16, 16), **options)


def test_batches_hold_the_boxes_of_what_they_show(squares: Dataset) -> None:
    kept = ("noise", "blur", "brightness", "contrast", "lowres", "gamma", "spatial")
    plain = ImageAugment(rot90=True, **{f"{name}_chance": 0 for name in kept})
    loader = loader_of(squares, augment=plain, foreground=1.0)
    (part,) = loader.batch(0).parts
    shown = 0
    targets = (part.target["boxes"], part.target["kinds"])
    for image, boxes, kinds in zip(part.inputs, *targets, strict=True):
        there = kinds >= 0
        assert bool(there.any()) == bool((image > 100).any())
        for box in boxes[there]:
            shown += 1
            assert (box * 16).tolist() == bounds(image[0].numpy() > 100)
    assert shown == 5
    assert int(part.target["ignored"].sum()) == 1


def test_patches_are_centred_on_objects(squares: Dataset) -> None:
    cases = loader_of(squares).cases
    assert [one.tolist() for one in cases.foreground(2)] == [[[9, 9]], []]
    assert [len(one) for one in cases.foreground(0)] == [0, 0]


def as_maps(x: Tensor) -> Tensor:
    """A network whose input is its answer already."""
    return x


@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.7])
def test_windows_tell_what_the_whole_image_would(overlap: float) -> None:
    generator = np.random.default_rng(1)
    boxes: list[tuple[int, list[float]]] = []
    for y in range(3, 60, 7):
        for x in range(4, 44, 8):
            half = generator.uniform(1.2, 3.4, 2)
            boxes.append(
                (int(generator.integers(2)), [y - half[0], x - half[0], y + half[1], x + half[1]])
            )
    maps = maps_of(boxes, (64, 48))[0].numpy()
    task = build_task({**TASK, "merge_overlap": 0.6})

    def found(roi: tuple[int, int]) -> np.ndarray:
        slabs = Slabs(maps.shape, maps.dtype, 1, iter(np.array_split(maps, 5, axis=1)))
        return find(as_maps, slabs, task, roi=roi, overlap=overlap, batch=3)

    whole, tiled = found((64, 48)), found((24, 20))
    assert len(whole) == len(boxes)
    by = [np.lexsort(one[:, :4].T) for one in (whole, tiled)]
    assert tiled[by[1]] == pytest.approx(whole[by[0]], abs=1e-4)


def test_boxes_come_back_on_the_images_own_grid() -> None:
    maps = maps_of([(0, [2.0, 3.0, 7.0, 9.0])], (16, 12))[0].repeat_interleave(2, 1)
    image = maps.repeat_interleave(3, 2).numpy()
    slabs = Slabs(image.shape, image.dtype, 1, iter([image]))
    task = build_task(TASK)
    found = find(as_maps, slabs, task, roi=(16, 12), network_shape=(16, 12))
    assert found[0, :4] == pytest.approx([4, 9, 14, 27], abs=1e-3)


def test_mirrored_copies_mean_the_same() -> None:
    boxes = [(0, [2.0, 3.0, 7.0, 9.0]), (1, [10.0, 1.5, 14.0, 5.5])]
    maps = maps_of(boxes, (16, 12))[0].numpy()

    def turning(x: Tensor) -> Tensor:
        """Answers a mirrored image with mirrored boxes, as a network does that has learnt to."""
        if torch.equal(x[0], torch.from_numpy(maps)):
            return x
        for axes in ([2], [3], [2, 3]):
            if torch.equal(x.flip(axes)[0], torch.from_numpy(maps)):
                order = list(range(6))
                for axis in axes:
                    order[axis], order[axis + 2] = order[axis + 2], order[axis]
                return x[:, order]
        raise AssertionError

    slabs = [Slabs(maps.shape, maps.dtype, 1, iter([maps])) for _ in range(2)]
    plain = find(as_maps, slabs[0], build_task(TASK), roi=(16, 12))
    found = find(turning, slabs[1], build_task(TASK), roi=(16, 12), mirror_axes=(0, 1))
    assert found == pytest.approx(plain, abs=1e-4)


def test_boxes_are_drawn_where_they_are() -> None:
    image = np.full((20, 40), 7.0)
    pixels = draw_boxes(image, [Frame((5, 10, 15, 30), COLOURS["false"])], width=80)
    drawn = (pixels == COLOURS["false"]).all(-1)
    assert bounds(drawn) == [10, 20, 30, 60]
    turned = draw_boxes(
        image, [Frame((5, 0, 10, 10), COLOURS["false"])], width=80, turn=(True, True)
    )
    assert bounds((turned == COLOURS["false"]).all(-1)) == [20, 60, 30, 80]


def plan_of(
    channels: int,
    patch: tuple[int, ...],
    norms: list[ChannelNorm],
    spacing: tuple[float, ...] | None = None,
) -> ImagePlan:
    return ImagePlan(
        answers="objects",
        classes=("one", "two"),
        batch_size=2,
        frequencies=(0.5, 0.5),
        samples=2,
        dims=2,
        in_channels=channels,
        spacing_mm=spacing,
        patch=patch,
        channels=tuple(norms),
        pool_steps=((2, 2), (2, 2)),
        median_shape=patch,
    )


def test_overlays_draw_what_is_called(tmp_path: Path) -> None:
    image = np.zeros((1, 3, 20, 40), np.int16)
    edges = {"begin": [1.0, 5.0, 10.0], "end": [2.0, 15.0, 30.0]}
    objects = [
        {"class": "b", "score": 0.9, "called": True, **edges},
        {"class": "a", "score": 0.2, "called": False, "begin": [0, 0, 0], "end": [3, 4, 4]},
    ]
    sample = Sample("s", {"objects": objects, "spacing_mm": [5.0, 1.0, 1.0]}, {"image": image})

    def drawn(**options: object) -> np.ndarray:
        (path,) = BoxOverlay(BoxOverlay.Options(width=80, **options)).write([sample], tmp_path)
        return np.asarray(Pillow.open(path))

    called = drawn()
    assert bounds((called == CLASS_COLOURS[1]).all(-1)) == [10, 20, 30, 60]
    assert not (called == CLASS_COLOURS[0]).all(-1).any()
    assert (drawn(least_score=0.1) == CLASS_COLOURS[0]).all(-1).any()


def test_a_picture_is_answered_with_its_objects() -> None:
    """As an endpoint does it: a PNG in, boxes in JSON out, in pixels of the picture."""
    torch.manual_seed(0)
    plan = plan_of(3, (16, 16), [ChannelNorm()] * 3, (2.0, 2.0))
    options = CenterNet.Options(features=(4, 8, 8), width=8, stride=4)
    network = CenterNet.build(options, 3, 2, (16, 16)).eval()
    task = build_task({**TASK, "least_score": 0.05, "most": 3, "called_at": [0.09, 0.9]})
    trained = Trained(Images(), network, task, plan, torch.device("cpu"), "net@1")
    predictor = Images().predictor(trained, Asking(Images.PredictOptions()))
    wire = Images().wire(plan.model_dump(mode="json"))
    answerer = Answerer(predictor, wire, "net@1", Limits(2**20))
    picture = np.random.default_rng(0).integers(0, 255, (48, 40, 3), np.uint8)
    buffer = BytesIO()
    Pillow.fromarray(picture).save(buffer, "PNG")
    question = answerer.read(buffer.getvalue(), "image/png")
    reply = answerer.write(question, answerer.compute(question.samples))
    answer = json.loads(reply.body)
    assert set(answer) == {"model", "objects"}
    objects = answer["objects"]
    assert 1 <= len(objects) <= 6
    assert [one["score"] for one in objects] == sorted(one["score"] for one in objects)[::-1]
    for one in objects:
        assert one["called"] is (one["class"] == "one" and one["score"] >= 0.09)
        assert all(
            0 <= b < e <= n for b, e, n in zip(one["begin"], one["end"], (48, 40), strict=True)
        )
        assert one["size_mm"] == pytest.approx(np.subtract(one["end"], one["begin"]).tolist())
    how = "integrated-gradients"
    question = answerer.read(buffer.getvalue(), "image/png", outputs=how)
    reply = answerer.write(question, answerer.compute(question.samples, how))
    mapped = json.loads(reply.body)
    assert mapped["objects"] == objects
    assert np.shape(mapped["attribution"]) == (2, 48, 40)


def test_a_network_learns_where_objects_are(squares: Dataset) -> None:
    """The whole way of a training and of its verdict, on pictures that are easy."""
    torch.manual_seed(0)
    task = build_task(TASK)
    options = CenterNet.Options(features=(8, 16, 16), width=16, stride=2)
    network = CenterNet.build(options, 1, 2, (24, 24))
    channels = [ChannelNorm(scheme="dataset", mean=20, std=60)]
    cases = ObjectCases(squares, range(6), channels, task, dims=2, cache_bytes=2**20)
    loader = ObjectLoader(cases, Order(6, 6, 1), (24, 24))
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    for batch in loader.batches(0, 60):
        (part,) = batch.parts
        loss = task.loss(network.train()(part.inputs), part.target).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    plan = plan_of(1, (24, 24), channels)
    device = torch.device("cpu")
    judged = judge_objects(network.eval(), cases, range(6), task, plan, device, "fp32")
    found = task.summarise(np.array(list(judged)), None)
    assert found["val_map50_one"] > 0.95
    assert found["val_froc_one"] > 0.95


def test_boxes_are_told_with_maps_of_what_they_hang_on() -> None:
    torch.manual_seed(0)
    plan = plan_of(1, (16, 16), [ChannelNorm(scheme="none")])
    network = CenterNet.build(CenterNet.Options(features=(4, 8, 8), width=8), 1, 2, (16, 16)).eval()
    task = build_task({**TASK, "called_at": [0.05, 0.99]})
    trained = Trained(Images(), network, task, plan, torch.device("cpu"), "net@1")
    plain = Images().predictor(trained, Asking(Images.PredictOptions()))
    asked = Asking(Images.PredictOptions(outputs="integrated-gradients", checks=True))
    image = np.random.default_rng(0).normal(0, 1, (1, 16, 16)).astype(np.float32)
    sample = Sample("s", {"spacing_mm": [1.0, 1.0]}, {"image": image})
    (answer,) = plain.compute([plain.prepare(InMemory(sample), 1)])
    predictor = Images().predictor(trained, asked)
    (made,) = predictor.compute([predictor.prepare(InMemory(sample), 1)])
    assert made.row["objects"] == answer.row["objects"] != []
    assert made.row["explained"] == ["one", "two"]
    found = np.asarray(made.arrays["attribution"])
    assert found.shape == (2, 16, 16)
    assert not found[1].any()  # none of the second class is called
    inputs = torch.from_numpy(image)[None]
    with torch.no_grad():
        target = OverRegion(0, task.regions(network(inputs))[:, 0], exclusive=False)
        ends = target(network(inputs)) - target(network(hidden(inputs)))
    # As maps of windows are blended, one of one window comes through as it is.
    assert found[0].sum() == pytest.approx(float(ends), abs=0.02 * float(np.abs(found[0]).sum()))
    assert len(made.row["randomised_rank"]) == 4
    assert 0 <= made.row["deletion"] <= 1
    held = Images().outputs(CenterNet, task, asked.options)
    assert {"objects", "explained"} <= set(held.columns)


def test_boxes_have_no_grad_cam() -> None:
    options = Images.PredictOptions(outputs="grad-cam")
    with pytest.raises(SpecError) as caught:
        Images().outputs(CenterNet, build_task(TASK), options)
    assert caught.value.code == "no-attributions"
    plan = plan_of(1, (16, 16), [ChannelNorm(scheme="none")])
    network = CenterNet.build(CenterNet.Options(features=(4, 8, 8), width=8), 1, 2, (16, 16)).eval()
    trained = Trained(Images(), network, build_task(TASK), plan, torch.device("cpu"), "net@1")
    with pytest.raises(SpecError) as caught:
        Images().predictor(trained, Asking(options))
    assert caught.value.code == "no-attributions"
