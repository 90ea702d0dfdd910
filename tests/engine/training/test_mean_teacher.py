"""Mean teacher: what it learns of samples without targets, and who is told of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import BatchNorm2d
from torch.nn.functional import cross_entropy

from medray.engine.training.loop import fit, outcome
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup, assemble
from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities import modality_of
from medray.modalities.learnt import Learnt, hashes
from medray.modalities.plan import Wanted
from medray.spec.base import Plugin
from medray.spec.training import OptimiserSettings, TrainSettings, Unlabelled
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.tasks import build_task

Make = Callable[[str, list[Sample]], Dataset]
TASK = {"name": "classification", "classes": ["a", "b"], "class_weights": "none"}
CNN = {"name": "cnn", "dims": 2, "features": [4], "convs": 1}
TEACHER = Plugin(name="mean-teacher", decay=0.9, weight=3, ramp=0.5, noise=0.2)
SETTINGS = TrainSettings(
    objective=TEACHER,
    epochs=4,
    steps_per_epoch=1,
    batch_size=3,
    unlabelled_batch_size=5,
    clip_norm=None,
    optimiser=OptimiserSettings(name="sgd", lr=1e-2, weight_decay=0),
)


@pytest.fixture
def spots(make_dataset: Make) -> Dataset:
    """Twenty pictures, eight of which have a class; two classes have a spot or none."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    samples = []
    for number in range(20):
        image = generator.normal(0, 1, (1, 8, 8)).astype(np.float32)
        image[0, 2:5, 2:5] += 4 * (number % 2)
        part = "val" if number >= 16 else "train" if number < 8 else "more"
        row: dict[str, Any] = {"split": part, "target": None if part == "more" else number % 2}
        samples.append(Sample(f"s{number:02d}", row, {"image": image}))
    return make_dataset("spots", samples)


def setup_of(data: Dataset, settings: TrainSettings = SETTINGS) -> TrainSetup:
    modality = modality_of(CNN)
    given = modality.PlanOptions.model_validate({"patch": (8, 8)})
    chosen = data.select({"split": "train"})
    plan = modality.plan(data, chosen, build_task(TASK), Wanted(CNN, settings, given))
    more = Unlabelled(select={"split": "more"})
    made = TrainSetup(data.objects, data.reference, TASK, CNN, plan, settings, "runs/one")
    return replace(made, unlabelled=more)


def test_samples_without_a_target_come_in_an_order_of_their_own(spots: Dataset) -> None:
    """Each twice, in views that differ; in shares that are those of one rank."""
    setup = setup_of(spots)
    parts = assemble(setup, World())
    batches = list(parts.loader.batches(0, 4))
    seen = [one.unlabelled for one in batches]
    assert [len(one.parts[0].inputs) for one in batches] == [3] * 4
    assert all(one is not None and len(one.student) == len(one.teacher) == 5 for one in seen)
    assert all(not torch.equal(one.student, one.teacher) for one in seen if one is not None)
    again = next(iter(parts.loader.batches(2, 3)))
    assert again.unlabelled is not None
    assert seen[2] is not None
    assert torch.equal(again.unlabelled.teacher, seen[2].teacher)
    plain = setup_of(spots, SETTINGS.model_copy(update={"augment": None}))
    (first, second) = assemble(plain, World()).loader.batches(0, 2)
    assert first.unlabelled is not None
    assert second.unlabelled is not None
    assert torch.equal(first.unlabelled.student, first.unlabelled.teacher)
    # A pass of eight samples: the ten of two steps hold each.
    drawn = torch.cat([first.unlabelled.student, second.unlabelled.student]).flatten(1)
    assert len({tuple(one.tolist()) for one in drawn}) == 8


def test_its_steps_are_those_that_are_written_by_hand(spots: Dataset) -> None:
    setup = setup_of(spots)
    fit(setup, World())
    parts = assemble(setup, World())
    student, teacher = parts.objective.networks["model"], parts.objective.followers["teacher"]
    sgd = torch.optim.SGD(student.parameters(), lr=0.0, momentum=0.99, nesterov=True)
    losses = []
    rows = outcome(setup).rows
    for batch, row in zip(parts.loader.batches(0, 4), rows, strict=True):
        student.train()
        for one in teacher.modules():
            if isinstance(one, BatchNorm2d):
                one.train()  # its statistics are its own
        (part,), views = batch.parts, batch.unlabelled
        assert views is not None
        generator = torch.Generator().manual_seed(_seed(batch.step))
        noise = [torch.randn(5, 1, 8, 8, generator=generator).clamp(-2, 2) * 0.2 for _ in (0, 1)]
        answers = student(torch.cat([part.inputs, views.student + noise[0]]))
        with torch.no_grad():
            taught = teacher(views.teacher + noise[1]).softmax(1)
        apart = (answers[3:].softmax(1) - taught).square().mean()
        loss = cross_entropy(answers[:3], part.target)
        weight = 3 * np.exp(-5 * (1 - min(1, batch.step / 4 / 0.5)) ** 2)
        for group in sgd.param_groups:
            group["lr"] = row["lr"]
        sgd.zero_grad()
        (loss + weight * apart).backward()
        sgd.step()
        decay = min(0.9, (1 + batch.step) / (10 + batch.step))
        with torch.no_grad():
            for mine, other in zip(teacher.parameters(), student.parameters(), strict=True):
                mine.lerp_(other, 1 - decay)
        losses.append([loss.item(), apart.item()])
    assert np.allclose([[row["loss"], row["loss_teacher"]] for row in rows], losses, atol=1e-6)
    assert losses[0][1] > 0


def _seed(step: int) -> int:
    from medray.data.order import seed_of

    return seed_of(SETTINGS.seed, step)


@pytest.mark.parametrize("distance", ["square", "cross-entropy"])
def test_a_teacher_that_is_not_sure_is_not_heard(spots: Dataset, distance: str) -> None:
    options = {"name": "mean-teacher", "threshold": 0.999, "distance": distance}
    unsure = SETTINGS.model_copy(update={"objective": Plugin.model_validate(options)})
    found = fit(setup_of(spots, unsure), World()).rows
    assert all(row["loss_teacher"] == 0 for row in found)
    options["threshold"] = 0.4
    heard = SETTINGS.model_copy(update={"objective": Plugin.model_validate(options)})
    setup = replace(setup_of(spots, heard), run="runs/two")
    assert all(row["loss_teacher"] > 0 for row in fit(setup, World()).rows)


def test_images_of_other_channels_are_refused(spots: Dataset, make_dataset: Make) -> None:
    samples = [Sample("a", {"subject": "a"}, {"image": np.zeros((3, 8, 8), np.float32)})]
    data = make_dataset("colours", samples)
    other = Unlabelled(data=data.reference, select={})
    with pytest.raises(SpecError) as caught:
        assemble(replace(setup_of(spots), unlabelled=other), World())
    assert caught.value.code == "channel-mismatch"


def job(**more: Any) -> dict[str, Any]:
    return {
        "kind": "train",
        "data": "spots",
        "unlabelled": {"select": {"split": "more"}},
        "task": TASK,
        "model": CNN,
        "plan": {"patch": [8, 8]},
        "train": SETTINGS.model_dump(mode="json", exclude_unset=True),
        "output": "net",
        **more,
    }


def test_a_model_says_what_it_learnt_from_without_targets(spots: Dataset) -> None:
    run([job()], storage=spots.objects, cluster="inline")
    package = open_model(spots.objects, "net")
    told = package.config["unlabelled"]
    assert told == {"data": spots.reference, "samples": 8, "labelled_too": 0}
    assert "and without targets from" in package.read("card.md").decode()
    (member,) = Learnt(package).members
    assert np.isin(hashes(["s00", "s08"]), member["samples"]).all()
    assert not np.isin(hashes(["s16"]), member["samples"]).any()


def test_what_is_validated_on_is_not_learnt_from(spots: Dataset) -> None:
    every = job(unlabelled={"data": "spots", "select": {}})
    with pytest.raises(SpecError) as caught:
        run([every], storage=spots.objects, cluster="inline")
    assert caught.value.code == "shared-parts"
    assert "share 4 samples" in caught.value.message
    run([{**every, "allow_leak": True}], storage=spots.objects, cluster="inline")
    found = open_model(spots.objects, "net").config
    assert found["shared"] == {"sample": 4}
    assert found["unlabelled"]["labelled_too"] == 8


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"unlabelled": None}, "needs-unlabelled"),
        ({"train": {"epochs": 1}}, "targets-only"),
        ({"unlabelled": {"data": "more", "select": {}}}, "no-such-dataset"),
        ({"unlabelled": {"select": {"ward": 1}}}, "no-such-column"),
        ({"unlabelled": {"select": {"split": "moer"}}}, "nothing-selected"),
        ({"task": {"name": "regression", "target": "target"}}, "no-probabilities"),
    ],
)
def test_what_cannot_be_is_told_before_a_job_begins(
    spots: Dataset, changed: dict[str, Any], code: str
) -> None:
    with pytest.raises(SpecError) as caught:
        run([job(**changed)], storage=spots.objects, cluster="inline")
    assert caught.value.code == code
