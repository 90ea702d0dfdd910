import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch.nn import functional

from medray.errors import DataError
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.base import NO_LABEL, Task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.tagging import BINS, CASE_SCHEMA, histograms


def task_of(classes: int = 2, frequencies: list[float] | None = None, **options: object) -> Task:
    names = [f"c{index}" for index in range(classes)]
    return build_task({"name": "tagging", "classes": names, **options}, frequencies)


def batch(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (4, classes, 30) and labels, some of them unknown, of the last sequence all."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, classes, 30, generator=generator)
    labels = torch.randint(0, classes, (4, 30), generator=generator, dtype=torch.uint8)
    labels[torch.rand(4, 30, generator=generator) < 0.2] = NO_LABEL
    labels[3] = NO_LABEL
    return logits, labels


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [2, 3])
def test_loss_is_torchs_over_the_labelled_bases(classes: int, smoothing: float) -> None:
    logits, labels = batch(classes)
    loss = task_of(classes, label_smoothing=smoothing).loss(logits, labels)
    for row in range(3):
        wanted = functional.cross_entropy(
            logits[row].T,
            labels[row].long(),
            ignore_index=NO_LABEL,
            label_smoothing=smoothing,
        )
        assert loss[row].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert loss[3] == 0


def test_unlabelled_bases_have_no_gradient() -> None:
    logits, labels = batch(2)
    logits.requires_grad_()
    task_of(class_weights=(1, 5)).loss(logits, labels).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.equal((logits.grad.abs().sum(1) > 0), labels != NO_LABEL)


def test_classes_are_weighted() -> None:
    logits, labels = torch.zeros(1, 2, 10), torch.zeros(1, 10, dtype=torch.uint8)
    labels[0, :2] = 1
    balanced = task_of(2, [0.8, 0.2], class_weights="balanced")
    assert balanced.loss(logits, labels).item() == pytest.approx(np.log(2), rel=1e-5)
    given = task_of(2, class_weights=(1, 3))
    assert given.loss(logits, labels).item() == pytest.approx(np.log(2) * 1.4, rel=1e-5)


def test_focal_loss_is_the_formula() -> None:
    logits, labels = batch(3)
    got = task_of(3, focal_gamma=2).loss(logits, labels)
    p = logits.softmax(1).numpy()
    for row in range(3):
        known = labels[row].numpy() != NO_LABEL
        right = p[row][labels[row].numpy()[known], np.flatnonzero(known)]
        assert got[row].item() == pytest.approx(np.mean(-np.log(right) * (1 - right) ** 2), 1e-5)


def tracks(cases: int = 12) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Probabilities (2, L) and labels (L,) of sequences of several lengths; positives are rare."""
    random = np.random.default_rng(0)
    answers, labels = [], []
    for length in random.integers(80, 200, cases):
        label = (random.random(length) < 0.15).astype(np.uint8)
        p = 1 / (1 + np.exp(2 - 1.5 * label - random.normal(0, 1.2, length)))
        label[random.random(length) < 0.1] = NO_LABEL
        answers.append(np.stack([1 - p, p]).astype(np.float32))
        labels.append(label)
    return answers, labels


def joined(answers: list[np.ndarray], labels: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of all labelled bases."""
    truth = np.concatenate(labels)
    known = truth != NO_LABEL
    return np.concatenate([one[1] for one in answers])[known], truth[known]


def test_validation_pools_the_bases_of_all_sequences() -> None:
    answers, labels = tracks()
    task = task_of()
    pairs = zip(answers, labels, strict=True)
    table = np.asarray([task.judge(answer, label) for answer, label in pairs])
    assert table.shape == (12, task.columns)
    metrics = task.summarise(table, None)
    p, y = joined(answers, labels)
    assert metrics["val_auroc"] == pytest.approx(roc_auc_score(y, p), abs=1e-3)
    assert metrics["val_average_precision"] == pytest.approx(
        average_precision_score(y, p), abs=5e-3
    )
    assert metrics["val_f1"] == pytest.approx(f1_score(y, p > 0.5))


def test_more_classes_are_judged_one_against_the_rest() -> None:
    logits, labels = batch(3)
    task = task_of(3)
    p = task.probabilities(logits).numpy()
    table = np.asarray([task.judge(p[row], labels[row].numpy()) for row in range(4)])
    metrics = task.summarise(table, None)
    known = labels.numpy() != NO_LABEL
    for index in range(3):
        wanted = roc_auc_score(labels.numpy()[known] == index, p[:, index][known])
        assert metrics[f"val_auroc_c{index}"] == pytest.approx(wanted, abs=0.01)


def test_histograms_keep_every_base() -> None:
    scores = np.array([0.0, 1e-9, 0.5, 0.5, 1.0])
    some, rest = histograms(scores, np.array([False, True, True, False, True]))
    assert (some.sum(), rest.sum()) == (3, 2)
    assert np.flatnonzero(some).tolist() == [0, BINS // 2, BINS - 1]
    assert np.flatnonzero(rest).tolist() == [0, BINS // 2]


def scored(task: Task, lost: int = 0) -> tuple[pa.Table, list[np.ndarray], list[np.ndarray]]:
    answers, labels = tracks()
    rows = []
    for index, (answer, label) in enumerate(zip(answers, labels, strict=True)):
        made = Sample(f"s{index}", {}, {"probability": answer})
        truth = Sample(f"s{index}", {}, {"label": label})
        (row,) = task.score(truth, made if index >= lost else None)
        rows.append({"case": f"s{index}", **row})
    schema = pa.schema([("case", pa.string()), *CASE_SCHEMA])
    return pa.Table.from_pylist(rows, schema), answers, labels


def test_the_summary_is_of_all_bases_and_of_each_sequence() -> None:
    task = task_of()
    table, answers, labels = scored(task)
    summary = task.conclude(table, Bootstrap(repeats=200))
    metrics, (p, y) = summary["metrics"], joined(answers, labels)
    assert metrics["auroc"]["value"] == pytest.approx(roc_auc_score(y, p), abs=1e-3)
    assert metrics["auroc"]["low"] < metrics["auroc"]["value"] < metrics["auroc"]["high"]
    assert metrics["f1"]["value"] == pytest.approx(f1_score(y, p > 0.5))
    own = [
        roc_auc_score(label[label != NO_LABEL], answer[1][label != NO_LABEL])
        for answer, label in zip(answers, labels, strict=True)
    ]
    assert metrics["auroc_per_sample"]["value"] == pytest.approx(np.mean(own))
    assert summary["bases"] == len(y)
    assert list(summary["classes"]) == ["c1"]
    false, true = summary["curves"]["roc"]["c1"]
    area = np.trapezoid(true, false)
    assert area == pytest.approx(metrics["auroc"]["value"], abs=1e-9)
    assert "positives" not in summary["worst"][0]


def test_a_sequence_without_prediction_is_scored_as_wrong_everywhere() -> None:
    task = task_of()
    table, answers, labels = scored(task, lost=2)
    summary = task.conclude(table, Bootstrap(repeats=0))
    for index in range(2):
        known = labels[index] != NO_LABEL
        answers[index] = np.where(known, 1.0 - np.eye(2)[:, labels[index] * known], 0.5)
    p, y = joined(answers, labels)
    assert summary["metrics"]["auroc"]["value"] == pytest.approx(roc_auc_score(y, p), abs=1e-3)
    assert summary["counts"] == {"no-prediction": 2, "scored": 10}
    assert {row["case"] for row in summary["worst"][:2]} == {"s0", "s1"}
    assert table["auroc"].to_pylist()[0] == [0.0]
    assert table["f1"].to_pylist()[0] == [0.0]


def test_a_sequence_without_labels_is_scored_and_weighs_nothing() -> None:
    task = task_of()
    answer = np.full((2, 5), 0.5, np.float32)
    truth = Sample("s", {}, {"label": np.full(5, NO_LABEL, np.uint8)})
    (row,) = task.score(truth, Sample("s", {}, {"probability": answer}))
    assert (row["bases"], row["auroc"], row["f1"]) == (0, [None], [None])


@pytest.mark.parametrize(
    ("answer", "label", "code"),
    [
        (np.full((2, 4), 0.5), np.zeros(5, np.uint8), "grid-mismatch"),
        (np.full((2, 5), 0.5), np.full(5, 2, np.uint8), "unknown-label"),
        (np.full((2, 5), np.nan), np.zeros(5, np.uint8), "nonfinite-output"),
    ],
)
def test_what_cannot_be_judged_is_refused(answer: np.ndarray, label: np.ndarray, code: str) -> None:
    with pytest.raises(DataError) as caught:
        task_of().score(Sample("s", {}, {"label": label}), Sample("s", {}, {"probability": answer}))
    assert caught.value.code == code
