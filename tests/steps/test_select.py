"""Selecting samples: by no value, by values of several kinds, and over a union."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.spec.load import read_job
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]
FOLDS = [0, 1, None, 0, 1, None]


def rows(make_dataset: Make) -> Dataset:
    def sample(at: int, **row: Any) -> Sample:
        features = np.full(2, at, np.float32)
        return Sample(f"r{at}", {"subject": f"p{at}", **row}, {"features": features})

    make_dataset("drawn", [sample(10 + at, synthetic=True) for at in range(2)])
    samples = [sample(at, fold=fold, share=at / 2) for at, fold in enumerate(FOLDS)]
    return make_dataset("rows", samples)


def unite(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "transform",
        "data": "rows",
        "operation": {"name": "union"},
        "using": {"more": "drawn"},
        "output": "both",
        **changes,
    }


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ({"fold": None}, [2, 5]),
        ({"fold": [0, None]}, [0, 2, 3, 5]),
        ({"fold": [0, 1]}, [0, 1, 3, 4]),
        ({"share": [0.5, 1]}, [1, 2]),
    ],
)
def test_null_and_several_values_are_selected(
    where: dict[str, Any], chosen: list[int], objects: Objects, make_dataset: Make
) -> None:
    assert rows(make_dataset).select(where) == chosen
    step = unite(select=where, using={"more": "rows2"}, output="both")
    make_dataset("rows2", [Sample("other", {"fold": 9, "share": 9.0}, {})])
    assert check_documents(read_job([step]), objects, cluster="inline")[1] == []
    run([step], storage=objects, cluster="inline")
    assert open_dataset(objects, "both").samples["sample_id"].to_pylist() == [
        f"r{at}" for at in chosen
    ]


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ({"fold": [0, None]}, ["r0", "r2", "r3", "r5", "r10", "r11"]),
        ({"fold": 1}, ["r1", "r4"]),
        ({"synthetic": True}, ["r10", "r11"]),
        ({"synthetic": None, "fold": None}, ["r2", "r5"]),
    ],
)
def test_a_union_has_the_columns_of_both(
    where: dict[str, Any], chosen: list[str], objects: Objects, make_dataset: Make
) -> None:
    rows(make_dataset)
    assert check_documents(read_job([unite(select=where)]), objects, cluster="inline")[1] == []
    run([unite(select=where)], storage=objects, cluster="inline")
    assert open_dataset(objects, "both").samples["sample_id"].to_pylist() == chosen


@pytest.mark.parametrize(
    ("where", "code"), [({"site": 1}, "no-such-column"), ({"fold": 7}, "nothing-selected")]
)
def test_what_neither_has_is_refused(
    where: dict[str, Any], code: str, objects: Objects, make_dataset: Make
) -> None:
    rows(make_dataset)
    with pytest.raises(SpecError) as caught:
        run([unite(select=where)], storage=objects, cluster="inline")
    assert caught.value.code == code


def test_the_check_knows_the_columns_of_both() -> None:
    real = Holds(columns=names("split", "fold"), splits=names("train", "test"))
    drawn = Holds(columns=names("split", "synthetic"), splits=names("train"))
    both = real.beside(drawn)
    both.check_where({"fold": None, "synthetic": True, "split": "test"})
    for where, code in (({"site": 1}, "no-such-column"), ({"split": "val"}, "nothing-selected")):
        with pytest.raises(SpecError, match=code):
            both.check_where(where)
    unknown = Holds(lacks=names("fold", "site"))
    real.beside(unknown).check_where({"fold": 1, "else": 2, "split": "val"})
    with pytest.raises(SpecError, match="no-such-column"):
        Holds(columns=names()).beside(unknown).check_where({"site": 1})
    Holds(columns=names()).beside(drawn).check_where({"split": "train"})
    with pytest.raises(SpecError, match="nothing-selected"):
        Holds(columns=names()).beside(drawn).check_where({"split": "test"})


TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "rows",
    "select": {},
    "task": {"name": "classification", "classes": ["a", "b"]},
    "model": {"name": "mlp", "hidden": []},
    "train": {"epochs": 1, "steps_per_epoch": 1},
    "output": "net",
}


def targets(make_dataset: Make) -> None:
    def sample(at: int, fold: int | None) -> Sample:
        row = {"fold": fold, "target": at % 2, "time": float(at), "event": at % 2}
        return Sample(f"r{at}", row, {"features": np.ones(2, np.float32)})

    make_dataset("rows", [sample(at, fold) for at, fold in enumerate(FOLDS)])


def test_samples_without_a_fold_are_no_fold(objects: Objects, make_dataset: Make) -> None:
    targets(make_dataset)
    with pytest.raises(SpecError) as caught:
        run([{**TRAIN, "folds": "fold"}], storage=objects, cluster="inline")
    assert caught.value.code == "no-fold"
    assert "2 samples" in caught.value.message
    assert caught.value.hint == "leave them out by `select: {fold: [0, 1]}`"


SURVIVAL = {"name": "survival", "time": "time", "event": "event"}
CURVE = {"kind": "learning-curve", "shares": [1], "draws": 1, "arms": {"plain": {}}}


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"select": {"fold": 9}}, "select: {'fold': 9}"),
        ({"select": {"fold": 9}, "members": 2}, "select: {'fold': 9}"),
        ({"select": {"fold": 9}, "folds": "fold"}, "select: {'fold': 9}"),
        ({"select": {"fold": 9}, "validation": {}, "task": SURVIVAL}, "select: {'fold': 9}"),
        ({"validation": {"fold": 9}}, "validation: {'fold': 9}"),
        ({**CURVE, "select": {"fold": 9}, "judge": {"fold": 0}}, "select: {'fold': 9}"),
        ({**CURVE, "select": {"fold": 0}, "judge": {"fold": 9}}, "judge: {'fold': 9}"),
    ],
)
def test_a_training_without_samples_is_refused(
    changes: dict[str, Any], hint: str, objects: Objects, make_dataset: Make
) -> None:
    targets(make_dataset)
    with pytest.raises(SpecError) as caught:
        run([{**TRAIN, **changes}], storage=objects, cluster="inline")
    assert (caught.value.code, caught.value.hint) == ("nothing-selected", hint)


def test_unlabelled_samples_are_some(objects: Objects, make_dataset: Make) -> None:
    image = {"image": np.zeros((1, 8, 8), np.uint8)}
    make_dataset("rows", [Sample(f"r{at}", {"target": at % 2}, image) for at in range(4)])
    step = {
        **TRAIN,
        "unlabelled": {"select": {"target": 7}},
        "model": {"name": "cnn", "features": [4]},
        "train": {"epochs": 1, "objective": {"name": "mean-teacher"}},
    }
    with pytest.raises(SpecError) as caught:
        run([step], storage=objects, cluster="inline")
    assert caught.value.hint == "unlabelled.select: {'target': 7}"


def test_what_is_no_value_is_said_once(objects: Objects, make_dataset: Make) -> None:
    rows(make_dataset)
    found = check_documents(
        read_job([unite(select={"fold": {"a": 1}})]), objects, cluster="inline"
    )[1]
    assert [(one.field, one.code) for one in found] == [("select.fold", "bad-field")]
    assert "null" in found[0].message
