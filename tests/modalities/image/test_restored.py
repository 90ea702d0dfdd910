"""Pretraining by hidden parts of images: what a network sees, and what comes of it."""

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from medray.data.order import Order
from medray.engine.training.loop import fit
from medray.engine.training.package import save_trained
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup, assemble
from medray.errors import SpecError
from medray.modalities import modality_of
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.plan import Wanted
from medray.report.collect import collect
from medray.spec.training import InitialWeights, OptimiserSettings, TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.jobs.test_training import job

TASK = {"name": "masked-image", "block": 2}
MODEL = {"name": "unet", "features": [8, 16]}
GIVEN = ImagePlanOptions(patch=(8, 8))
FAST = TrainSettings(
    epochs=2, steps_per_epoch=30, batch_size=4, optimiser=OptimiserSettings(lr=1e-2), augment=None
)


@pytest.fixture
def waves(make_dataset: Callable[[str, list[Sample]], Dataset]) -> Dataset:
    """Images of two channels and no label, each a wave that goes on: what is hidden follows."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(16):
        along, across = np.meshgrid(np.arange(16), np.arange(12), indexing="ij")
        wave = np.sin((along + across) * 0.8 + generator.uniform(0, 6.3))
        image = np.stack([wave, -2 * wave]).astype(np.float32)
        split = "val" if number % 4 == 0 else "train"
        samples.append(Sample(f"w{number:02d}", {"split": split}, {"image": image}))
    return make_dataset("waves", samples)


def setup_of(data: Dataset, run: str = "runs/a", **settings: Any) -> TrainSetup:
    chosen = FAST.model_copy(update=settings)
    modality, task = modality_of(MODEL), build_task(TASK)
    selected = data.select({"split": "train"})
    plan = modality.plan(data, selected, task, Wanted(MODEL, chosen, GIVEN))
    return TrainSetup(data.objects, data.reference, TASK, MODEL, plan, chosen, run)


def test_the_plan_has_no_labels_and_answers_with_channels(waves: Dataset) -> None:
    setup = setup_of(waves)
    assert (setup.plan.answers, setup.plan.classes) == ("restored", ("image",))
    assert (setup.plan.foreground, setup.plan.frequencies) == (0.0, (1.0,))
    network = assemble(setup, World()).objective.networks["model"]
    assert network(torch.zeros(1, 2, 8, 8)).shape == (1, 2, 8, 8)


def test_hidden_voxels_are_not_seen_whoever_shares_the_batch(waves: Dataset) -> None:
    setup = setup_of(waves)
    modality, task = modality_of(MODEL), build_task(TASK)
    cases = modality.cases(waves, waves.select({"split": "train"}), setup.plan, task, FAST)

    def batch(rank: int, size: int) -> Any:
        order = Order(len(cases), 4, 0)
        loader = modality.loader(
            cases, order, setup.plan, task, FAST, (rank, size), torch.device("cpu")
        )
        (part,) = loader.batch(5).parts
        return part

    whole = batch(0, 1)
    hidden = whole.target["hidden"].expand_as(whole.inputs)
    assert 0.3 < hidden.float().mean() < 0.7
    assert (whole.inputs[hidden] == 0).all()
    assert torch.equal(whole.inputs[~hidden], whole.target["image"][~hidden])
    assert len({one.numpy().tobytes() for one in whole.target["hidden"]}) == 4
    halves = [batch(rank, 2) for rank in (0, 1)]
    assert torch.equal(torch.cat([one.inputs for one in halves]), whole.inputs)


def test_it_learns_to_restore_and_what_it_learnt_moves_on(waves: Dataset, balls: Dataset) -> None:
    setup = setup_of(waves)
    result = fit(setup, World())
    validated = [row for row in result.rows if "val_restored_error" in row]
    assert validated[-1]["val_restored_error"] < 0.6 * validated[-1]["val_mean_error"]
    assert result.metrics["val_restored_error"] == min(r["val_restored_error"] for r in validated)
    package = save_trained(setup, result, "restorer", spec="")
    assert package.config["plan"]["answers"] == "restored"

    # The same images with masks: all but the head comes from there.
    labelled = setup_labelled(waves)
    begun = assemble(labelled, World()).objective.networks["model"].state_dict()
    fresh = {n for n in begun if not np.array_equal(begun[n].numpy(), package.weights().get(n))}
    assert fresh == {"heads.0.weight", "heads.0.bias"}


def setup_labelled(waves: Dataset) -> TrainSetup:
    restoring = setup_of(waves, init_from=InitialWeights(model="restorer"))
    task = {"name": "segmentation", "classes": ["background", "a", "b"]}
    update = {"answers": "place", "classes": ("background", "a", "b")}
    plan = restoring.plan.model_copy(update={**update, "frequencies": (0.8, 0.1, 0.1)})
    return replace(restoring, task=task, plan=plan)


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


TRAIN = {
    "kind": "train",
    "data": "balls",
    "task": {"name": "masked-image", "block": 4},
    "model": {"name": "unet", "dims": 3, "features": [4, 8], "convs": 1},
    "plan": {"patch": [8, 8, 8]},
    "train": {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2},
    "output": "restorer",
}


def test_a_job_goes_on_from_it_and_may_not_ask_it(balls: Dataset, objects: Objects) -> None:
    tuned = {
        **TRAIN,
        "task": {"name": "segmentation", "classes": ["background", "a", "b"]},
        "train": {**TRAIN["train"], "init_from": {"model": "restorer", "only": ["encoder"]}},
        "output": "net",
    }
    steps = job(TRAIN, tuned, objects=objects).steps
    assert steps[0].metrics["val_mean_error"] > 0
    # Samples are shown on the page, and are not in the package.
    (section,) = collect(objects, "job", [asdict(one) for one in steps]).sections
    assert [one.cases[0][0] for one in section.pictures] == ["s00", "s08", "s12"]
    for picture in section.pictures:
        assert [name for name, _ in picture.panels] == ["image", "hidden", "restored"]
        image, hidden, restored = (decoded(png) for _, png in picture.panels)
        assert image.shape == (160, 480, 3)  # three planes of a cube
        blue = (hidden == (0, 114, 178)).all(-1)
        assert 0.02 < blue.mean() < 0.9
        assert not np.array_equal(restored[blue], image[blue])
    assert "examples.json" not in open_model(objects, "restorer").files
    predict = {"kind": "predict", "model": "restorer", "data": "balls", "output": "masks"}
    with pytest.raises(SpecError, match="restores-only"):
        job(predict, objects=objects)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"task": {"name": "masked-image", "block": 8}}, "block-too-large"),
        ({"task": {"name": "masked-image", "mask_ratio": 1}}, "bad-field"),
        ({"model": {"name": "resnet", "dims": 3}}, "task-mismatch"),
        ({"members": 2}, "folds-of-masks"),
    ],
)
def test_what_cannot_be_is_told_before(
    balls: Dataset, objects: Objects, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(SpecError) as caught:
        job({**TRAIN, **change}, objects=objects)
    assert caught.value.code == code
