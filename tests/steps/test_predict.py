"""Predict runs a committed model over stored samples, by the same worker as everything else."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from safetensors.torch import save

from medray.engine.units.operation import operation_of
from medray.engine.units.worker import Receipt, Worker, WorkerSpec
from medray.errors import DataError
from medray.modalities.image import ImageOptions, Images, predictor
from medray.modalities.image.loader import whole_image
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.plan import ImagePlan
from medray.modalities.loaded import load_trained
from medray.models import MODELS
from medray.spec.load import check_step, read_job
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION, resolve
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import DECLARED

UNET = {"name": "unet", "dims": 3, "features": [4, 8]}
CNN = {"name": "cnn", "dims": 2, "features": [4, 8]}
MASKS = {"name": "segmentation", "classes": ["background", "lesion"]}
IMAGES = {"name": "classification", "classes": ["normal", "pneumonia"]}
PLAIN = {"model": "m", "precision": "fp32", "batch": 2, "held_out": False}


def model(
    objects: Objects,
    network: dict[str, Any],
    task: dict[str, Any],
    patch: Sequence[int],
    *,
    spacing_mm: tuple[float, ...] | None = None,
    scale: float = 1.0,
) -> torch.nn.Module:
    """Commit a model called "m" with random weights, and give its network."""
    torch.manual_seed(11)
    kind = MODELS.get(network["name"])
    options = {key: value for key, value in network.items() if key != "name"}
    net = kind.build(kind.Options.model_validate(options), 1, 2, tuple(patch)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= scale
    plan = ImagePlan(
        dims=len(patch),
        in_channels=1,
        answers="place" if task["name"] == "segmentation" else "sample",
        classes=tuple(task["classes"]),
        spacing_mm=spacing_mm,
        patch=tuple(patch),
        batch_size=2,
        channels=(ChannelNorm(scheme="zscore"),),
        pool_steps=(),
        frequencies=(0.5, 0.5),
        median_shape=tuple(patch),
        samples=1,
        mirror_axes=(len(patch) - 1,),
    )
    save_model(
        objects,
        "m",
        weights=save(net.state_dict()),
        config={"model": network, "task": task, "plan": plan.model_dump(mode="json")},
        metrics={},
        parents=[],
        spec="",
        card="",
    )
    return net


def dataset(objects: Objects, samples: list[Sample]) -> Dataset:
    ledger = Ledger(objects, "data")
    attempt = ledger.begin("u0")
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
    for sample in samples:
        writer.add(sample)
    commit = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), len(samples), []))
    made = Commits.of([commit])
    return publish(objects, "data", kind="t", spec="", commits=made, refused=[], parents=[])


def run(objects: Objects, data: Dataset, **changed: Any) -> tuple[Dataset, Receipt]:
    planned = plan_shards(data, "predict", identity=changed, select={})
    worker = Worker(
        WorkerSpec(
            OPERATION,
            {**PLAIN, "options": changed},
            objects,
            "out",
        )
    )
    (unit,) = planned.units
    receipt = worker.run(unit)
    assert receipt.state == "committed", receipt.error
    made = publish(
        objects,
        "out",
        kind="predict",
        spec=str(changed),
        commits=worker.ledger.committed([unit.id]),
        refused=[],
        parents=[],
    )
    return made, receipt


def volumes(count: int = 2, spacing: Sequence[float] = (2.0, 1.0, 1.0)) -> list[Sample]:
    generator = np.random.default_rng(2)
    return [
        Sample(
            f"v{index}",
            {
                "subject": f"p{index}",
                "spacing_mm": list(spacing),
                "label_voxels": [5, 6],
                "image_mean": 30.0 + index,
                "image_std": 90.0,
            },
            {"image": generator.normal(30, 90, (1, 30 + 50 * index, 64, 60)).astype(np.int16)},
        )
        for index in range(count)
    ]


def expected(
    net: Callable[[torch.Tensor], torch.Tensor], sample: Sample, roi: tuple[int, ...]
) -> torch.Tensor:
    image = np.asarray(sample.arrays["image"], np.float32)
    image = (image - sample.row["image_mean"]) / sample.row["image_std"]
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(image)[None], roi, 2, net, overlap=0.5, mode="gaussian"
        )
    return logits[0]


@pytest.mark.parametrize("ahead_bytes", [0, 2**30])
def test_masks_are_those_of_the_whole_volume(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, ahead_bytes: int
) -> None:
    """Streamed from storage chunk by chunk, or read ahead: the same."""
    monkeypatch.setattr(predictor, "AHEAD_BYTES", ahead_bytes)
    net = model(objects, UNET, MASKS, (16, 48, 48))
    samples = volumes()
    made, receipt = run(objects, dataset(objects, samples))
    assert (receipt.rows, receipt.quarantined) == (2, 0)
    for index, sample in enumerate(samples):
        found = made.sample(index)
        assert found.id == sample.id
        assert found.row["subject"] == sample.row["subject"]
        assert found.row["spacing_mm"] == [2.0, 1.0, 1.0]
        assert sum(found.row["label_voxels"]) == found.arrays["label"].size, "of this mask"
        wanted = expected(net, sample, (16, 48, 48)).argmax(0).numpy()
        assert wanted.any()
        label = np.asarray(found.arrays["label"])
        assert label.dtype == np.uint8
        assert (label == wanted).mean() > 0.9999  # ties in float32


def test_probabilities_and_mirrored_copies(objects: Objects) -> None:
    net = model(objects, UNET, MASKS, (16, 48, 48))
    samples = volumes(1)
    data = dataset(objects, samples)
    plain, _ = run(objects, data, outputs="probabilities")
    found = np.asarray(plain.sample(0).arrays["probability"])
    wanted = expected(net, samples[0], (16, 48, 48)).softmax(0).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    mirrored, _ = run(objects, data, outputs="probabilities", tta=True)
    other = np.asarray(mirrored.sample(0).arrays["probability"])
    turned = expected(lambda x: net(x.flip(4)).flip(4), samples[0], (16, 48, 48)).softmax(0).numpy()
    assert np.abs(turned - found).max() > 1e-3
    # Only the axis that the plan was trained mirrored along; logits are averaged, not these.
    assert (np.minimum(found, turned) - 1e-3 <= other).all()
    assert (other <= np.maximum(found, turned) + 1e-3).all()


def test_other_spacings_are_resampled_and_come_back_on_their_own_grid(objects: Objects) -> None:
    model(objects, UNET, MASKS, (16, 48, 48), spacing_mm=(2.0, 1.0, 1.0))
    data = dataset(objects, [*volumes(1), *volumes(2, spacing=(4.0, 0.8, 0.9))[1:]])
    made, _ = run(objects, data)
    assert [made.array(index, "label").shape for index in (0, 1)] == [(30, 64, 60), (80, 64, 60)]


def test_what_a_task_removes_is_removed(objects: Objects) -> None:
    model(objects, UNET, MASKS | {"min_voxels": 10**9}, (16, 48, 48))
    made, _ = run(objects, dataset(objects, volumes(1)))
    assert not np.asarray(made.sample(0).arrays["label"]).any()


def test_a_sample_of_another_kind_or_with_nonfinite_output_is_quarantined(
    objects: Objects,
) -> None:
    model(objects, UNET, MASKS, (16, 48, 48))
    good, bad = volumes(2)
    two = Sample("two", good.row, {"image": np.zeros((2, 30, 64, 60), np.int16)})
    image = np.asarray(bad.arrays["image"], np.float32)
    image[0, 60, 3, 3] = np.nan
    bad.arrays["image"] = image
    made, receipt = run(objects, dataset(objects, [good, two, bad]))
    assert (receipt.rows, receipt.inputs, receipt.quarantined) == (1, 3, 2)
    refused = {row["source"]: row["code"] for row in made.quarantine().to_pylist()}
    assert refused == {"two": "model-mismatch", "v1": "nonfinite-output"}


@pytest.mark.parametrize("tta", [False, True])
def test_images_are_classified_in_batches(objects: Objects, *, tta: bool) -> None:
    net = model(objects, CNN, IMAGES, (28, 28))
    generator = np.random.default_rng(4)
    images = generator.integers(0, 255, (5, 1, 28, 28)).astype(np.uint8)
    samples = [
        Sample(f"i{n}", {"target": n % 2}, {"image": image}) for n, image in enumerate(images)
    ]
    made, receipt = run(objects, dataset(objects, samples), tta=tta)
    assert receipt.rows == 5
    rows = made.samples.to_pylist()
    for row, image in zip(rows, images, strict=True):
        x = ((image - image.mean()) / image.std()).astype(np.float32)
        copies = [x, x[..., ::-1].copy()] if tta else [x]
        with torch.inference_mode():
            logits = [net(whole_image(torch.from_numpy(c), (28, 28))[None]) for c in copies]
        wanted = torch.stack(logits).mean(0).softmax(1)[0].numpy()
        np.testing.assert_allclose(row["probability"], wanted, atol=1e-4)
        assert row["predicted"] == IMAGES["classes"][int(wanted.argmax())]
    assert [row["target"] for row in rows] == [0, 1, 0, 1, 0]


def test_options_may_be_called_as_fields_of_the_step(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(ImageOptions):
        batch: str = "none"
        model: str = "none"

    monkeypatch.setattr(Images, "PredictOptions", Named)
    package = model(objects, UNET, MASKS, (16, 48, 48)) and load_trained(objects, "m").reference
    dataset(objects, volumes())
    step = {"kind": "predict", "model": "m", "data": "data", "output": "out", "batch": 3}
    step |= {"options": {"batch": "many", "model": "another"}}
    parameters = resolve(check_step(read_job(step), 0), objects, str).parameters
    assert (parameters["model"], parameters["batch"]) == (package, 3)
    asked = operation_of(OPERATION)(objects, parameters)._predictor.asked  # type: ignore[attr-defined]
    assert (asked.batch, asked.options.batch, asked.options.model) == (3, "many", "another")


def test_weights_of_another_network_are_refused(objects: Objects) -> None:
    net = model(objects, UNET, MASKS, (16, 48, 48))
    package = load_trained(objects, "m")
    save_model(
        objects,
        "m",
        weights=save(net.state_dict()),
        config={
            "model": UNET | {"features": [4, 16]},
            "task": MASKS,
            "plan": package.plan.model_dump(mode="json"),
        },
        metrics={},
        parents=[],
        spec="",
        card="",
    )
    with pytest.raises(DataError) as caught:
        load_trained(objects, "m")
    assert caught.value.code == "bad-package"


@pytest.mark.parametrize("task", [MASKS, MASKS | {"keep_largest": ["lesion"]}])
def test_a_row_counts_the_voxels_of_its_mask(objects: Objects, task: dict[str, Any]) -> None:
    """Whether slab by slab or whole; the truth's counts are not taken over."""
    model(objects, UNET, task, (16, 16, 16), scale=3.0)
    samples = volumes()
    for sample in samples:
        sample.row["label_voxels"] = [7, 7]
    made, _ = run(objects, dataset(objects, samples))
    for sample in made:
        counted = np.bincount(np.ravel(sample.arrays["label"]), minlength=2)
        assert sample.row["label_voxels"] == counted.tolist()
