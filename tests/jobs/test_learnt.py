"""Scores of cases that the model learnt from say so, loudly; by sample and by subject."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from medray.cli import main
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "balls",
    "task": {"name": "segmentation", "classes": ["none", "one", "two"]},
    "plan": {"patch": [8, 8, 8]},
    "model": {"name": "unet", "dims": 3, "features": [4, 8]},
    "train": {"epochs": 1, "batch_size": 4, "augment": None},
    "output": "net",
}


def scoring(
    select: dict[str, Any], data: str = "balls", model: str = "net"
) -> list[dict[str, Any]]:
    predict = {"kind": "predict", "model": model, "data": data, "select": select}
    return [
        {**predict, "output": "masks"},
        {"kind": "evaluate", "predictions": "masks", "data": data, "output": "scores"},
    ]


def seen(objects: Objects) -> dict[str, int]:
    found: dict[str, int] = open_dataset(objects, "scores").attributes["summary"]["learnt"]
    return found


def test_what_was_learnt_from_is_told(balls: Dataset, objects: Objects) -> None:
    clean = run([TRAIN, *scoring({"split": "val"})], storage=objects, cluster="inline")
    assert seen(objects) == {"cases": 4, "samples": 0, "subjects": 0}
    assert clean.steps[-1].cautions == ["no interval: 4 subjects, and it takes 5"]
    leaked = run(scoring({}), storage=objects, cluster="inline")
    assert seen(objects) == {"cases": 16, "samples": 12, "subjects": 0}
    (said,) = leaked.steps[-1].cautions
    assert said.startswith(
        "12 of the 16 cases that are scored are cases that the model learnt from"
    )
    # Names stay out of the package.
    assert b"s01" not in open_model(objects, "net").read("learnt.safetensors")


def test_another_dataset_of_the_same_subjects(
    balls: Dataset, objects: Objects, make_dataset: Any
) -> None:
    """p1 was trained on under another id; s04 is a case of validation; p99 is new."""
    source = {sample.id: sample for sample in balls}
    again = [("again-1", "p1", "s01"), ("s04", "p4", "s04"), ("s02", "p2", "s02")]
    again += [(f"new-{n}", f"q{n}", "s04") for n in range(4)]
    make_dataset(
        "later",
        [
            Sample(name, {**source[of].row, "subject": subject}, dict(source[of].arrays))
            for name, subject, of in again
        ],
    )
    done = run([TRAIN, *scoring({}, "later")], storage=objects, cluster="inline")
    assert seen(objects) == {"cases": 7, "samples": 1, "subjects": 1}
    assert "1 of the 7 cases" in done.steps[-1].cautions[0]
    assert "and 1 more are of subjects" in done.steps[-1].cautions[0]


def test_a_model_that_began_with_another_has_learnt_what_that_did(
    balls: Dataset, objects: Objects
) -> None:
    settings = {**TRAIN["train"], "init_from": "net"}
    second = {**TRAIN, "select": {"split": "val"}, "validation": {}, "output": "tuned"}
    steps = [TRAIN, {**second, "train": settings}, *scoring({}, model="tuned")]
    run(steps, storage=objects, cluster="inline")
    assert seen(objects) == {"cases": 16, "samples": 16, "subjects": 0}


def test_folds_answer_for_what_they_have_not_seen(objects: Objects, make_dataset: Any) -> None:
    def sample(number: int, subject: str) -> Sample:
        letters = "ACGT" * 4 if number % 2 else "TTGA" * 4
        row = {"sequence": letters, "target": number % 2, "fold": number % 3, "subject": subject}
        return Sample(f"s{number}", row)

    samples = [sample(number, f"p{number}") for number in range(11)]
    samples.append(sample(11, "p0"))  # of another fold than s0, whose subject it shares
    make_dataset("letters", samples)
    train = {
        "kind": "train",
        "data": "letters",
        "select": {},
        "folds": "fold",
        "allow_leak": True,
        "task": {"name": "classification", "classes": ["x", "y"]},
        "model": {"name": "seq_cnn", "filters": 4, "kernels": [3]},
        "train": {"epochs": 1, "batch_size": 4, "augment": None},
        "output": "net",
    }
    run([train, *scoring({}, "letters")], storage=objects, cluster="inline")
    assert seen(objects) == {"cases": 12, "samples": 0, "subjects": 2}


def test_the_command_and_the_page_are_loud(
    balls: Dataset, objects: Objects, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leak.yaml"
    path.write_text("\n---\n".join(json.dumps(step) for step in [TRAIN, *scoring({})]))
    place = ("--cluster", "inline", "--storage", objects.url)
    done = CliRunner().invoke(main, ["run", str(path), *place])
    assert done.exit_code == 0
    assert "CAUTION, scores: 12 of the 16 cases" in done.stdout
    page = objects.get("reports/leak/report.html").decode()
    assert "Complete, but not to be believed as it stands" in page
    assert page.count("12 of the 16 cases that are scored") == 2
    again = CliRunner().invoke(main, ["run", str(path), *place, "--json", "--no-report"])
    assert json.loads(again.stdout)["steps"][-1]["cautions"][0].startswith("12 of the 16")
