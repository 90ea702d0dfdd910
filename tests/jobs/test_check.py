"""Everything that can be known is checked before step 1, all of it at once."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from medray.cli import main
from medray.errors import SpecError
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.spec.load import Source, read_job
from medray.steps.base.view import Problem
from medray.storage.catalog.datasets import Dataset
from medray.storage.store.objects import Objects

ROOT = Path(__file__).parents[2]
Change = Callable[[list[dict[str, Any]]], object]


@pytest.fixture
def job(cohort: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """Ingest, train, predict, evaluate, export: nothing is wrong with it."""
    task = {"name": "segmentation", "classes": ["none", "a", "b"]}
    return [
        {
            "kind": "ingest",
            "format": {"name": "nifti", "layout": "msd"},
            "source": str(cohort),
            "output": "heads",
            "split": {"train": 3, "val": 1},
        },
        {
            "kind": "train",
            "data": "heads",
            "task": task,
            "model": {"name": "unet", "dims": 3, "features": [4, 8]},
            "plan": {"patch": [8, 8, 8]},
            "train": {"epochs": 1, "batch_size": 2},
            "output": "net",
        },
        {
            "kind": "predict",
            "model": "net",
            "data": "heads",
            "select": {"split": "val"},
            "output": "masks",
        },
        {"kind": "evaluate", "predictions": "masks", "data": "heads", "output": "scores"},
        {
            "kind": "export",
            "data": "masks",
            "format": {"name": "nifti"},
            "to": str(tmp_path / "out"),
        },
    ]


def problems(job: list[dict[str, Any]], objects: Objects, **how: Any) -> list[Problem]:
    return check_documents(read_job(job), objects, cluster="inline", **how)[1]


def said(found: list[Problem]) -> list[tuple[int, str, str]]:
    return [(one.document, one.field, one.code) for one in found]


def put(number: int, *path: Any) -> Change:
    """Sets a value: the field's path, then what it becomes; None takes it away."""

    def change(job: list[dict[str, Any]]) -> None:
        place: Any = job[number - 1]
        *way, last, value = path
        for part in way:
            place = place.setdefault(part, {})
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


CLASSIFY = {"name": "classification", "classes": ["x", "y"]}
SPLICE = {"name": "seq_cnn"}
WRONG: list[tuple[Change, list[tuple[int, str, str]]]] = [
    # Plugins, options, names.
    (put(1, "format", "name", "niffti"), [(1, "format.name", "unknown-plugin")]),
    (put(1, "format", "layuot", 1), [(1, "format.layuot", "bad-field")]),
    (put(1, "format", {"name": "dicom_seg"}), [(1, "format.name", "write-only-format")]),
    (put(2, "task", "name", "segmentatoin"), [(2, "task.name", "unknown-plugin")]),
    (put(2, "task", "classes", ["one"]), [(2, "task.classes", "bad-field")]),
    (put(2, "task", "class_weights", [1, 2]), [(2, "task", "class-weights")]),
    (put(2, "model", "name", "unet3"), [(2, "model.name", "unknown-plugin")]),
    (put(2, "model", "feature", [4]), [(2, "model.feature", "bad-field")]),
    (put(5, "format", "name", "table2"), [(5, "format.name", "unknown-plugin")]),
    (put(5, "format", {"name": "gff"}), [(5, "format.name", "read-only-format")]),
    (put(1, "cluster", "nowhere"), []),  # --cluster wins
    (put(1, "output", "a..b"), [(1, "output", "bad-name"), (2, "data", "no-such-dataset"),
                                 (3, "data", "no-such-dataset"),
                                 (4, "data", "no-such-dataset")]),
    # References and free names.
    (put(3, "model", "nte"), [(3, "model", "no-such-model")]),
    (put(3, "model", "heads"), [(3, "model", "no-such-model")]),
    (put(3, "data", "heads@123456"), [(3, "data", "no-such-version")]),
    (put(2, "output", "heads"), [(2, "output", "taken-name"), (3, "model", "no-such-model")]),
    (put(4, "output", "masks"), [(4, "output", "duplicate-output")]),
    (put(5, "output", "scores"), [(5, "output", "duplicate-output")]),
    (lambda job: job.reverse(), [(1, "data", "no-such-dataset"),
                                 (2, "predictions", "no-such-dataset"),
                                 (2, "data", "no-such-dataset"),
                                 (3, "model", "no-such-model"), (3, "data", "no-such-dataset"),
                                 (4, "data", "no-such-dataset")]),
    (put(2, "train", "init_from", "older"), [(2, "train.init_from", "no-such-model")]),
    # Pairings.
    (put(2, "task", CLASSIFY), [(2, "task", "no-such-column"),
                                (2, "model.name", "task-mismatch")]),
    (put(2, "task", {"name": "tagging", "classes": ["a", "b"]}),
     [(2, "task.name", "task-mismatch")]),
    (put(2, "model", {"name": "resnet", "dims": 3}), [(2, "model.name", "task-mismatch")]),
    (put(2, "model", SPLICE), [(2, "data", "model-mismatch"), (2, "plan.patch", "bad-field"),
                               (2, "task.name", "task-mismatch")]),
    (put(2, "train", {"epochs": 1, "augment": {"shift_bases": 3, "gamma_chance": 2}}),
     [(2, "train.augment.gamma_chance", "bad-field"),
      (2, "train.augment.shift_bases", "bad-field")]),
    (put(2, "model", "dims", 2), [(2, "model.dims", "dims-mismatch")]),
    (put(2, "plan", "patch", [8, 8]), [(2, "plan.patch", "dims-mismatch")]),
    (put(2, "plan", "spacing_mm", [1, 1]), [(2, "plan.spacing_mm", "dims-mismatch")]),
    (put(2, "plan", "patch", [9, 8, 8]), [(2, "model", "indivisible-shape")]),
    (put(2, "task", "patch", [8, 8, 8]), [(2, "task.patch", "bad-field")]),
    (put(2, "model", "features", [4, 8, 8, 8, 8]), [(2, "model", "patch-too-small")]),
    (put(3, "options", {"outputs": "attention"}), [(3, "options.outputs", "bad-field")]),
    (put(3, "options", {"overlap": 1, "tat": True}), [(3, "options.overlap", "bad-field"),
                                                      (3, "options.tat", "bad-field")]),
    (put(3, "tta", True), [(3, "tta", "bad-field")]),
    (lambda job: job[2].update(kind="variants", genome="heads"),
     [(3, "genome", "no-genome"), (3, "data", "no-sites"), (3, "model", "model-mismatch"),
      (4, "predictions", "no-predictions")]),
    (put(4, "predictions", "heads"), [(4, "predictions", "no-predictions")]),
    (put(1, "format", "labels", "none"), [(2, "task", "no-such-array"),
                                          (4, "data", "no-such-array")]),
    (put(5, "format", {"name": "dicom_seg"}), [(5, "data", "no-dicom-geometry")]),
    (put(5, "format", {"name": "bed"}), [(5, "data", "no-such-array")]),
    (put(5, "format", {"name": "nifti", "array": "image"}), []),  # of the images beside
    (put(5, "format", {"name": "vcf"}), [(5, "data", "no-calls")]),
    # Settings that no data can mend.
    (put(2, "plan", {"pathc": [8, 8, 8]}), [(2, "plan.pathc", "bad-field")]),
    (put(2, "plan", {"length": 8, "patch": [0, 8, 8], "foreground": 2}),
     [(2, "plan.patch.0", "bad-field"), (2, "plan.foreground", "bad-field"),
      (2, "plan.length", "bad-field")]),
    (put(2, "plan", {"normalise": "ct", "channels": [{"scheme": "ct"}]}),
     [(2, "plan", "bad-field")]),
    (put(2, "output", "${NET:-net}"), [(2, "output", "kept-variable")]),
    (put(2, "plan", {"patch": ["${SIDE:-8}", 8, 8]}), [(2, "plan", "kept-variable")]),
    (put(2, "train", "foreground", 0), [(2, "train.foreground", "bad-field")]),
    (put(2, "train", "freeze", ["encoder9"]), [(2, "train.freeze", "unknown-layer")]),
    (put(2, "train", "rates", {"encoder9": 0.1}), [(2, "train.rates", "unknown-layer")]),
    (put(2, "train", "init_from", {"model": "older", "map": {"trunk": "encoder9"}}),
     [(2, "train.init_from", "no-such-model"), (2, "train.init_from.map", "unknown-layer")]),
    (put(2, "train", "workers", 3), [(2, "train.batch_size", "batch-too-small")]),
    (put(2, "train", "early_stopping", {"metric": "val_dcie"}),
     [(2, "train.early_stopping.metric", "unknown-metric")]),
    (put(2, "train", "epochs", 0), [(2, "train.epochs", "bad-field")]),
    (put(2, "train", "objective", {"name": "adversariel"}),
     [(2, "train.objective.name", "unknown-plugin")]),
    (put(2, "train", "objective", {"name": "mean-teacher", "decay": 2}),
     [(2, "train.objective.decay", "bad-field")]),
    (put(2, "train", {"objective": {"name": "adversarial"}, "strategy": "fsdp"}),
     [(2, "train.objective", "one-network")]),
    # Columns.
    (put(1, "split", None), [(2, "select", "no-such-column"), (3, "select", "no-such-column")]),
    (put(1, "split", {"test": 1}), [(2, "select", "nothing-selected"),
                                    (3, "select", "nothing-selected")]),
    (put(2, "folds", "fold"), [(2, "folds", "no-such-column")]),
    (put(3, "select", {"sex": "F"}), [(3, "select", "no-such-column")]),
    (put(4, "select", {"sex": "F"}), [(4, "select", "no-such-column")]),
    (put(5, "select", {"sex": "F"}), [(5, "select", "no-such-column")]),
    (put(1, "split", {"column": "site"}), [(1, "split.column", "no-such-column")]),
    # Folders.
    (put(1, "source", "/nowhere/at/all"), [(1, "source", "no-such-source")]),
    (put(5, "to", "/dev/null/out"), [(5, "to", "bad-target")]),
    # Several things at once.
    (lambda job: (put(1, "source", "/nowhere")(job), put(5, "to", "/dev/null")(job),
                  put(2, "train", {"epochs": "a", "seed": "b"})(job)),
     [(1, "source", "no-such-source"), (2, "train.epochs", "bad-field"),
      (2, "train.seed", "bad-field"), (5, "to", "bad-target")]),
]  # fmt: skip


def test_nothing_is_wrong_and_nothing_is_written(
    job: list[dict[str, Any]], objects: Objects, tmp_path: Path
) -> None:
    assert problems(job, objects) == []
    assert list(objects.walk("")) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("change", "wanted"), WRONG)
def test_each_mistake_is_told_where_it_stands(
    job: list[dict[str, Any]],
    objects: Objects,
    change: Change,
    wanted: list[tuple[int, str, str]],
) -> None:
    change(job)
    found = problems(job, objects)
    assert said(found) == wanted
    assert all(one.message and "\n" not in one.message for one in found)
    if wanted:
        with pytest.raises(SpecError) as caught:
            run(job, storage=objects, cluster="inline")
        assert caught.value.code == wanted[0][2]
        assert all(f"[{code}]" in str(caught.value) for _, _, code in wanted)
        assert list(objects.walk("datasets")) == []


def test_what_is_made_later_is_told_so(job: list[dict[str, Any]], objects: Objects) -> None:
    job[1], job[2] = job[2], job[1]
    (found,) = problems(job, objects)
    assert found.hint == "document 3 makes it: put that before this one"
    job[1]["model"] = "nett"
    assert problems(job, objects)[0].hint == "models here: none yet"
    job[1], job[2] = job[2], job[1]
    assert problems(job, objects)[0].hint == "did you mean 'net'?"


def test_what_stands_in_storage_counts(balls: Dataset, objects: Objects, tmp_path: Path) -> None:
    train = {
        "kind": "train",
        "data": "balls",
        "task": {"name": "segmentation", "classes": ["none", "a", "b"]},
        "model": {"name": "unet", "dims": 3},
        "output": "net",
    }
    assert problems([train], objects) == []
    assert said(problems([{**train, "output": "balls"}], objects)) == [(1, "output", "taken-name")]
    assert said(problems([{**train, "select": {"split": "tset"}}], objects)) == [
        (1, "select", "nothing-selected")
    ]
    assert said(problems([{**train, "select": {"age": 3}}], objects)) == [
        (1, "select", "no-such-column")
    ]
    export = {"kind": "export", "data": "balls", "to": str(tmp_path / "out")}
    seg = {**export, "format": {"name": "dicom_seg"}}
    assert said(problems([seg], objects)) == [(1, "data", "no-dicom-geometry")]
    sequences = {**train, "model": {"name": "lstm"}, "task": {"name": "regression"}}
    assert said(problems([sequences], objects)) == [
        (1, "task", "no-such-column"),
        (1, "data", "model-mismatch"),
    ]


def test_classes_in_another_order_are_another_task(objects: Objects, tmp_path: Path) -> None:
    ingest = {
        "kind": "ingest",
        "format": {"name": "table", "target": "y", "classes": ["sick", "well"], "split": "s"},
        "source": str(tmp_path),
        "output": "t",
    }
    train = {
        "kind": "train",
        "data": "t",
        "task": {"name": "classification", "classes": ["well", "sick"]},
        "model": {"name": "mlp"},
        "output": "net",
    }
    assert said(problems([ingest, train], objects)) == [(2, "task", "classes-mismatch")]
    train["task"] = {"name": "classification", "classes": ["sick", "well"]}
    assert problems([ingest, train], objects) == []


def test_an_export_may_be_the_source_of_what_follows(
    job: list[dict[str, Any]], objects: Objects, tmp_path: Path
) -> None:
    back = {"kind": "ingest", "format": {"name": "nifti"}, "source": str(tmp_path / "out")}
    assert problems([*job, {**back, "output": "again"}], objects) == []
    assert said(problems([{**back, "output": "again"}, *job], objects)) == [
        (1, "source", "no-such-source")
    ]


def test_on_another_machine_folders_are_not_looked_for(
    job: list[dict[str, Any]], objects: Objects
) -> None:
    put(1, "source", "/nowhere/at/all")(job)
    put(5, "to", "/dev/null/out")(job)
    assert problems(job, objects, elsewhere=True) == []
    put(2, "model", "name", "unet3")(job)
    assert said(problems(job, objects, elsewhere=True)) == [(2, "model.name", "unknown-plugin")]


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda p: p.stem)
def test_what_is_shipped_has_nothing_wrong(
    path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("MEDRAY_DATA", "MEDRAY_DEMO", "MEDRAY_NUCLEI", "MEDRAY_SLIDES"):
        monkeypatch.setenv(name, os.environ.get(name, str(tmp_path)))
    source = read_job(path)
    assert check_documents(source, objects, cluster="local", elsewhere=True)[1] == []
    documents = copy.deepcopy(source.documents)
    documents[0]["format"]["name"] = "no-such"
    found = check_documents(Source("x", documents), objects, cluster="local", elsewhere=True)[1]
    assert said(found) == [(1, "format.name", "unknown-plugin")], "what follows is not blamed"


def test_the_command(job: list[dict[str, Any]], tmp_path: Path) -> None:
    path, store = tmp_path / "job.yaml", tmp_path / "nothing-here"

    def medray(*more: str) -> Any:
        path.write_text(yaml.safe_dump_all(job))
        place = ("--storage", str(store), "--cluster", "inline")
        return CliRunner().invoke(main, ["check", str(path), *place, *more])

    fine = medray()
    assert (fine.exit_code, fine.stdout) == (0, "5 documents, nothing is wrong\n")
    assert not store.exists()
    put(2, "model", "name", "unte")(job)
    put(5, "to", "/dev/null/out")(job)
    wrong = medray()
    assert wrong.exit_code == 2
    assert wrong.stdout.splitlines()[0] == (
        "document 2, model.name: nothing called 'unte' is registered [unknown-plugin] "
        "(did you mean 'unet'?)"
    )
    assert wrong.stdout.splitlines()[-1] == "5 documents, 2 problems"
    told = json.loads(medray("--json").stdout)
    assert [(one["document"], one["code"]) for one in told["problems"]] == [
        (2, "unknown-plugin"),
        (5, "bad-target"),
    ]
    path.unlink()
    gone = CliRunner().invoke(main, ["check", str(path), "--json"])
    assert gone.exit_code == 2
    assert json.loads(gone.stdout)["problems"][0]["code"] == "no-such-file"


def test_replicas_answer_by_networks_of_folds(job: list[dict[str, Any]], objects: Objects) -> None:
    job[0]["split"] = {"folds": 3}
    job[1] |= {"folds": "fold", "select": {}}
    job[2] = {"kind": "predict", "model": "net", "data": "heads", "output": "masks"}
    assert said(problems(job, objects)) == []
    job[2]["engine"] = "serve"
    assert said(problems(job, objects)) == []
    job[0]["split"], job[1]["folds"] = {"train": 3, "val": 1}, "split"
    assert said(problems(job, objects)) == []
