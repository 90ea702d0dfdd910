"""From files to steps: merging, errors that name the place, and every YAML that ships."""

import json
from pathlib import Path
from typing import Any

import pytest

from medray.errors import SpecError
from medray.spec.load import (
    check_step,
    cluster_profile,
    json_schema,
    read_job,
    shipped,
    storage_profile,
)
from medray.steps.ingest.spec import IngestSpec, Split
from medray.steps.train.spec import TrainSpec

INGEST = {
    "kind": "ingest",
    "format": {"name": "nifti", "layout": "msd"},
    "source": "/raw",
    "output": "ct",
    "split": {"train": 0.8, "val": 0.2},
}
TRAIN = {
    "kind": "train",
    "data": "ct",
    "task": {"name": "segmentation"},
    "model": {"name": "unet"},
    "output": "net",
}


def refused(step: dict[str, Any]) -> SpecError:
    with pytest.raises(SpecError) as caught:
        check_step(read_job([INGEST, step]), 1)
    assert caught.value.code == "bad-field"
    return caught.value


def test_every_problem_is_told() -> None:
    wrong = {**TRAIN, "train": {"epochs": "many", "batchsize": 3, "optimiser": {"lr": -1}}}
    error = refused(wrong)
    assert error.about.endswith("train.epochs")
    assert "; also train.optimiser.lr: input should be greater than 0" in error.message
    assert "; also train.batchsize: there is no such field" in error.message
    many = refused({**TRAIN, "train": {f"x{number}": 1 for number in range(6)}})
    assert many.message.count("there is no such field") == 4
    assert many.message.endswith("; and 2 more")


def test_order_of_merging() -> None:
    """defaults < profiles < job < --set."""
    profile = {"train": {"train": {"workers": 8, "batch_size": 16, "epochs": 2}}}
    job = {**TRAIN, "train": {"batch_size": 4}}
    step = check_step(read_job(job, ["train.epochs=9"]), 0, profile)
    assert isinstance(step, TrainSpec)
    chosen = step.train
    assert (chosen.workers, chosen.batch_size, chosen.epochs, chosen.seed) == (8, 4, 9, 0)


def test_a_typing_error_is_named_with_file_document_field_and_hint() -> None:
    error = refused({**TRAIN, "train": {"epoch": 3}})
    assert error.about == "job, document 2, train.epoch"
    assert error.hint == "did you mean 'epochs'?"


def test_words_that_yaml_takes_for_true_and_false_are_to_be_quoted() -> None:
    error = refused({**TRAIN, "output": False})
    assert "quote the word" in (error.hint or "")
    assert "quote" not in (refused({**TRAIN, "output": None}).hint or "")


@pytest.mark.parametrize(
    ("change", "about", "message"),
    [
        ({"kind": "trian"}, "job, document 2", "there is no kind 'trian'"),
        ({"output": "Net"}, "job, document 2, output", "not a name"),
        ({"data": None}, "job, document 2, data", "valid string"),
        ({"train": {"epochs": 0}}, "job, document 2, train.epochs", "greater than or equal to 1"),
        ({"train": {"workers": [3, 1]}}, "job, document 2, train", "[min, max]"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], about: str, message: str) -> None:
    error = refused({**TRAIN, **change})
    assert error.about == about
    assert message in error.message


def test_a_missing_field_is_named() -> None:
    step = {key: value for key, value in TRAIN.items() if key != "model"}
    assert refused(step).about == "job, document 2, model"


def test_kind_is_needed() -> None:
    assert "`kind` is missing" in refused({"output": "x"}).message


@pytest.mark.parametrize(
    "split", [{}, {"train": 0}, {"train": 1, "column": "split"}, {"a": -1}, {"folds": 1}]
)
def test_splits_that_say_nothing(split: dict[str, Any]) -> None:
    error = refused({**INGEST, "split": split})
    assert error.about.startswith("job, document 2, split")


def test_split_as_ingest_takes_it() -> None:
    assert Split.model_validate({"train": 3, "val": 1}).parameters() == {
        "train": 3.0,
        "val": 1.0,
        "seed": 0,
    }
    assert Split.model_validate({"column": "fold"}).parameters() == {"column": "fold"}
    folds = {"folds": 5, "by": "block", "seed": 1}
    assert Split.model_validate(folds).parameters() == folds
    assert Split.model_validate({"column": "set", **folds}).parameters() == {
        "column": "set",
        **folds,
    }


def test_identity_leaves_out_where_and_how_tolerantly() -> None:
    one = check_step(read_job(INGEST), 0)
    other = check_step(
        read_job({**INGEST, "source": "/moved", "policy": {"error_budget": 1}, "cluster": "x"}), 0
    )
    assert one.identity() == other.identity()
    assert one.identity() != check_step(read_job({**INGEST, "output": "other"}), 0).identity()


def test_identity_of_a_training_leaves_out_who_shares_the_work() -> None:
    def identity(**train: Any) -> dict[str, Any]:
        return check_step(read_job({**TRAIN, "train": train}), 0).identity()

    assert identity(workers=1) == identity(workers=[1, 4], threads=2, keep=5, checkpoint_every=3)
    assert identity(seed=0) != identity(seed=1)


def test_folders_are_absolute_so_that_a_job_resumes_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    step = check_step(read_job({**INGEST, "source": "raw"}), 0)
    assert isinstance(step, IngestSpec)
    assert step.source == str(tmp_path / "raw")


def test_profiles_here_win_over_those_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cluster_profile("local").kind == "local"
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "local.yaml").write_text("kind: inline\nthreads: 3\n")
    assert cluster_profile("local").kind == "inline"
    with pytest.raises(SpecError) as caught:
        cluster_profile("moon")
    assert caught.value.code == "no-such-profile"
    assert "inline, kuberay, local" in caught.value.hint


def test_storage_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAY_ROOT", "/elsewhere")
    assert storage_profile("local").url == "/elsewhere"


@pytest.mark.parametrize("path", sorted(shipped("jobs").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_job_that_ships_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEDRAY_DATA", "MEDRAY_DEMO", "MEDRAY_NUCLEI", "MEDRAY_SLIDES"):
        monkeypatch.setenv(name, "/raw")
    source = read_job(path)
    for index in range(len(source.documents)):
        check_step(source, index)


@pytest.mark.parametrize("room", ["cluster", "storage"])
def test_every_profile_that_ships_is_valid(room: str) -> None:
    load = {"cluster": cluster_profile, "storage": storage_profile}[room]
    names = [path.stem for path in shipped(room).glob("*.yaml")]
    assert "local" in names
    for name in names:
        load(name)


def test_json_schema_knows_every_kind() -> None:
    schema = json_schema()
    assert set(schema["discriminator"]["mapping"]) == {
        "ingest",
        "gather",
        "transform",
        "train",
        "learning-curve",
        "predict",
        "variants",
        "screen",
        "rank",
        "generate",
        "evaluate",
        "export",
    }
    assert json.dumps(schema)
