"""A cascade from folds to masks: no network learns from a mask by one that has seen the sample."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import DataError, SpecError
from medray.jobs.run import run
from medray.modalities.loaded import load_model
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]
TASK = {"name": "segmentation", "classes": ["background", "a", "b"]}
NET = {"name": "unet", "dims": 3, "features": [4, 8]}
SETTINGS = {
    "epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "validate_every": 1, "select": "last",
}  # fmt: skip
PLAN = {"patch": [8, 8, 8], "normalise": "none"}


def made(make_dataset: Make, name: str = "balls", count: int = 6, side: int = 10) -> Dataset:
    random = np.random.default_rng(5)
    samples = []
    for number in range(count):
        label = np.zeros((side,) * 3, np.uint8)
        label[2:5, 2:5, 2:5], label[6:9, 6:9, 6:9] = 1, 2
        image = random.normal(0, 1, label.shape) + label
        row = {
            "subject": f"p{number}", "spacing_mm": [1.0] * 3, "fold": number % 2,
            "label_voxels": [1, 2], "affine": np.eye(4).ravel().tolist(),
        }  # fmt: skip
        arrays = {"image": image.astype(np.float32)[None], "label": label}
        samples.append(Sample(f"s{number}", row, arrays))
    return make_dataset(name, samples)


def train(data: str, output: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "train", "data": data, "select": {}, "task": TASK, "model": NET, "output": output,
        "train": SETTINGS, "plan": PLAN, **more,
    }  # fmt: skip


def cascade(data: str, masks: str, output: str = "guided") -> dict[str, Any]:
    return {
        "kind": "transform", "data": data, "operation": {"name": "cascade"},
        "using": {"predictions": masks}, "output": output,
    }  # fmt: skip


COARSE = train("balls", "coarse", folds="fold", plan=PLAN | {"spacing_mm": [2.0] * 3})
MASKS = {"kind": "predict", "model": "coarse", "data": "balls", "output": "masks"}
FINE = train("guided", "fine", validation={}, plan=PLAN | {"guide": True})
JOB = [
    COARSE,
    MASKS,
    cascade("balls", "masks"),
    FINE,
    {"kind": "predict", "model": "fine", "data": "guided", "output": "fine-masks"},
    {"kind": "evaluate", "predictions": "fine-masks", "data": "guided", "output": "scores"},
]


def test_masks_of_held_out_networks_guide_the_fine_one(
    objects: Objects, make_dataset: Make
) -> None:
    truth = made(make_dataset)
    run(JOB, storage=objects, cluster="inline")
    masks, guided = open_dataset(objects, "masks"), open_dataset(objects, "guided")
    assert masks.attributes["held_out"] == "fold"
    assert len(guided) == 6
    for at in range(6):
        assert np.array_equal(guided.array(at, "guide")[...], masks.array(at, "label")[...])
        assert np.array_equal(guided.array(at, "image")[...], truth.array(at, "image")[...])
        assert np.array_equal(guided.array(at, "label")[...], truth.array(at, "label")[...])
    rows = guided.samples.to_pylist()
    assert rows[0]["guide_classes"] == TASK["classes"]
    assert rows[0]["label_voxels"] == [1, 2]
    model = load_model(objects, "fine").only
    assert model.plan.inputs == 3
    # The network has learnt to look at the guide, and prediction gives it what training gave.
    found = open_dataset(objects, "fine-masks")
    assert "guide_classes" not in found.manifest.columns
    image, guide = guided.array(0, "image")[...], guided.array(0, "guide")[...]
    hot = np.stack([guide == 1, guide == 2])
    whole = torch.from_numpy(np.concatenate([image, hot]).astype(np.float32))[None]
    window = (slice(None), slice(None), *(slice(0, 8),) * 3)
    with torch.inference_mode():
        own, blind = whole[window], whole[window].clone()
        blind[:, 1:] = 1 - blind[:, 1:]
        assert not torch.equal(model.network(own), model.network(blind))
        said = model.network(whole).argmax(1)[0].numpy()
    assert np.array_equal(found.array(0, "label")[...], said)  # one window: all of the image
    assert open_dataset(objects, "scores").attributes["summary"]["cases"] == 6


def refused(objects: Objects, *job: dict[str, Any]) -> dict[str, str]:
    """Codes by sample of a job whose last step refuses some."""
    *before, last = job
    last = {**last, "policy": {"error_budget": 1.0}}
    run([*before, last], storage=objects, cluster="inline")
    table = open_dataset(objects, str(last["output"])).quarantine()
    return {row["source"]: row["code"] for row in table.to_pylist()}


def test_a_guide_by_a_network_that_learnt_from_the_sample_is_refused(
    objects: Objects, make_dataset: Make
) -> None:
    made(make_dataset)
    alone = train("balls", "coarse", select={"fold": 0}, validation={"fold": 1})
    found = refused(objects, alone, MASKS, cascade("balls", "masks"))
    assert found == {f"s{at}": "guide-learnt" for at in (0, 2, 4)}
    assert open_dataset(objects, "guided").columns(["sample_id"])["sample_id"].to_pylist() == [
        "s1", "s3", "s5"
    ]  # fmt: skip


def test_other_samples_of_a_subject_that_was_learnt_from_are_refused(
    objects: Objects, make_dataset: Make
) -> None:
    made(make_dataset)
    made(make_dataset, "again")
    again = open_dataset(objects, "again")
    samples = [again.sample(at) for at in range(6)]
    renamed = [Sample(f"t{at}", one.row, one.arrays) for at, one in enumerate(samples)]
    make_dataset("scans", renamed)
    alone = train("balls", "coarse", select={"fold": 0}, validation={"fold": 1})
    masks = {**MASKS, "data": "scans"}
    found = refused(objects, alone, masks, cascade("scans", "masks"))
    assert found == {f"t{at}": "guide-learnt" for at in (0, 2, 4)}


def test_a_sample_without_a_mask_and_one_of_other_voxels_are_refused(
    objects: Objects, make_dataset: Make
) -> None:
    data = made(make_dataset)
    samples = [data.sample(at) for at in range(6)]
    samples[1].row["spacing_mm"] = [1.0, 1.0, 1.01]
    samples[2].row["affine"] = np.diag([1.0, 1, -1, 1]).ravel().tolist()
    samples[3].arrays["image"] = samples[3].arrays["image"][:, :, :, :9]
    samples[3].arrays["label"] = samples[3].arrays["label"][:, :, :9]
    make_dataset("moved", samples)
    some = {**MASKS, "select": {"sample_id": [f"s{at}" for at in range(5)]}}
    found = refused(objects, COARSE, some, cascade("moved", "masks"))
    assert found == {
        "s1": "guide-geometry", "s2": "guide-geometry", "s3": "guide-geometry", "s5": "no-guide",
    }  # fmt: skip


def test_what_are_no_masks_of_a_model_is_refused(objects: Objects, make_dataset: Make) -> None:
    made(make_dataset)
    with pytest.raises(SpecError) as caught:
        run([cascade("balls", "balls")], storage=objects, cluster="inline")
    assert caught.value.code == "no-masks"


def test_a_guided_model_refuses_samples_without_a_guide(
    objects: Objects, make_dataset: Make
) -> None:
    made(make_dataset)
    run(JOB[:4], storage=objects, cluster="inline")
    bare = {"kind": "predict", "model": "fine", "data": "balls", "output": "bare"}
    with pytest.raises(DataError) as none_left:
        run([bare], storage=objects, cluster="inline")
    assert "no-guide" in str(none_left.value)
    maps = {**bare, "data": "guided", "options": {"outputs": "occlusion"}}
    with pytest.raises(SpecError) as caught:
        run([maps], storage=objects, cluster="inline")
    assert "no-attributions" in str(caught.value)


def test_a_training_that_wants_a_guide_is_checked(objects: Objects, make_dataset: Make) -> None:
    made(make_dataset)
    with pytest.raises(SpecError) as missing:
        run([{**FINE, "data": "balls"}], storage=objects, cluster="inline")
    assert missing.value.code == "no-such-array"
    assert "document 1, plan" in str(missing.value)
