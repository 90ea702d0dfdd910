import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from medray.errors import DataError
from medray.tasks.metrics.classification import (
    CASE_SCHEMA,
    UNKNOWN,
    score_classification,
    summarise_classification,
)


def table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist([{"case": f"s{i}", **row} for i, row in enumerate(rows)])


def softmax_cases(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, k, n)
    logits = random.normal(0, 1, (n, k)) + 1.5 * np.eye(k)[targets]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), targets


def test_binary_agrees_with_scikit_learn() -> None:
    p, y = softmax_cases(0, 400, 2)
    rows = score_classification(p, y, ["normal", "pneumonia"])
    assert set(rows[0]) == set(CASE_SCHEMA.names)
    summary = summarise_classification(table(rows), ["normal", "pneumonia"])
    value = {name: m["value"] for name, m in summary["metrics"].items()}
    called = p.argmax(axis=1)
    assert summary["kind"] == "binary"
    assert list(summary["classes"]) == ["pneumonia"]
    assert value["auroc"] == pytest.approx(sk.roc_auc_score(y, p[:, 1]))
    assert value["average_precision"] == pytest.approx(sk.average_precision_score(y, p[:, 1]))
    assert value["accuracy"] == pytest.approx(sk.accuracy_score(y, called))
    assert value["sensitivity"] == pytest.approx(sk.recall_score(y, called))
    assert value["specificity"] == pytest.approx(sk.recall_score(y, called, pos_label=0))
    assert value["precision"] == pytest.approx(sk.precision_score(y, called))
    assert value["mcc"] == pytest.approx(sk.matthews_corrcoef(y, called))
    assert value["brier"] == pytest.approx(sk.brier_score_loss(y, p[:, 1]))
    assert 0 < value["ece"] < 0.2
    assert summary["confusion"] == sk.confusion_matrix(y, called).tolist()
    interval = summary["metrics"]["auroc"]
    assert 0.01 < interval["high"] - interval["low"] < 0.1
    assert interval["low"] < interval["value"] < interval["high"]
    assert json.loads(json.dumps(summary, allow_nan=False))["cases"] == 400


def test_multiclass_is_one_against_the_rest_macro() -> None:
    p, y = softmax_cases(1, 300, 4)
    names = ["a", "b", "c", "d"]
    summary = summarise_classification(table(score_classification(p, y, names)), names)
    value = {name: m["value"] for name, m in summary["metrics"].items()}
    assert summary["kind"] == "multiclass"
    assert value["auroc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))
    assert value["average_precision"] == pytest.approx(sk.average_precision_score(np.eye(4)[y], p))
    assert value["sensitivity"] == pytest.approx(sk.balanced_accuracy_score(y, p.argmax(axis=1)))
    precisions = sk.precision_score(y, p.argmax(axis=1), average=None)
    assert value["precision"] == pytest.approx(precisions.mean())
    own = [summary["classes"][name]["precision"]["value"] for name in names]
    assert own == pytest.approx(list(precisions))
    assert value["accuracy"] == pytest.approx(sk.accuracy_score(y, p.argmax(axis=1)))
    assert value["mcc"] == pytest.approx(sk.matthews_corrcoef(y, p.argmax(axis=1)))
    assert value["brier"] == pytest.approx(((p - np.eye(4)[y]) ** 2).sum(axis=1).mean())
    assert list(summary["curves"]["reliability"]) == ["winning class"]


def test_a_class_that_nobody_has_is_left_out_of_the_macro_mean() -> None:
    p, y = softmax_cases(2, 200, 3)
    y = np.where(y == 2, 1, y)
    names = ["a", "b", "c"]
    summary = summarise_classification(table(score_classification(p, y, names)), names)
    areas = [sk.roc_auc_score(y == c, p[:, c]) for c in (0, 1)]
    assert summary["classes"]["c"]["auroc"]["value"] is None
    assert summary["metrics"]["auroc"]["value"] == pytest.approx(np.mean(areas))


def test_multilabel_ignores_what_is_unknown() -> None:
    random = np.random.default_rng(3)
    y = random.integers(0, 2, (250, 3))
    p = np.clip(0.3 * y + random.random((250, 3)) * 0.7, 0, 1)
    y[random.random(y.shape) < 0.2] = UNKNOWN
    names = ["x", "y", "z"]
    summary = summarise_classification(
        table(score_classification(p, y, names)), names, multilabel=True
    )
    known = y != UNKNOWN
    areas, rights, correlations = [], [], []
    for c in range(3):
        areas.append(sk.roc_auc_score(y[known[:, c], c], p[known[:, c], c]))
        rights.append(np.mean((p[:, c] > 0.5)[known[:, c]] == y[known[:, c], c]))
        correlations.append(sk.matthews_corrcoef(y[known[:, c], c], p[known[:, c], c] > 0.5))
        assert summary["classes"][names[c]]["auroc"]["value"] == pytest.approx(areas[-1])
    assert summary["metrics"]["auroc"]["value"] == pytest.approx(np.mean(areas))
    assert summary["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(rights))
    assert summary["metrics"]["mcc"]["value"] == pytest.approx(np.mean(correlations))
    assert summary["confusion"] is None


@pytest.mark.parametrize("classes", [2, 3])
def test_a_missing_prediction_is_the_worst_and_counted(classes: int) -> None:
    p, y = softmax_cases(4, 100, classes)
    missing = np.zeros(100, dtype=bool)
    missing[:10] = True
    names = [f"c{i}" for i in range(classes)]
    p[missing] = np.nan
    rows = score_classification(p, y, names, missing=missing)
    assert all(row["error"] == 1.0 for row in rows[:10])
    assert all(row["status"] == "no-prediction" for row in rows[:10])
    summary = summarise_classification(table(rows), names)
    assert summary["counts"] == {"no-prediction": 10, "scored": 90}
    right = (p[10:].argmax(axis=1) == y[10:]).sum()
    assert summary["metrics"]["accuracy"]["value"] == pytest.approx(right / 100)
    without = summarise_classification(table(rows[10:]), names)
    for name in ("auroc", "average_precision"):
        assert summary["metrics"][name]["value"] < without["metrics"][name]["value"]
    assert {row["case"] for row in summary["worst"]} == {f"s{i}" for i in range(10)}


def test_error_is_one_minus_the_probability_of_the_truth() -> None:
    p, y = softmax_cases(5, 20, 5)
    errors = [row["error"] for row in score_classification(p, y, list("abcde"))]
    np.testing.assert_allclose(errors, 1 - p[np.arange(20), y])


@pytest.mark.parametrize(
    ("p", "y", "code"),
    [
        (np.full((2, 2), np.nan), np.array([0, 1]), "nonfinite-output"),
        (np.full((2, 2), 1.5), np.array([0, 1]), "nonfinite-output"),
        (np.full((2, 2), 0.5), np.array([0, 2]), "unknown-label"),
        (np.full((2, 3), 0.5), np.array([0, 1]), "grid-mismatch"),
    ],
)
def test_refuses_what_it_cannot_score(p: np.ndarray, y: np.ndarray, code: str) -> None:
    with pytest.raises(DataError) as caught:
        score_classification(p, y, ["a", "b"])
    assert caught.value.code == code
