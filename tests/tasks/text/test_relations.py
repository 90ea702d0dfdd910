"""Relations: pairs that nothing relates count in no score, and across sentences all are missed."""

from typing import Any

import numpy as np
import pytest
import torch

from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import table_of
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.text.relations import Relations

TASK = Relations(Relations.Options(types=("X", "Y")), (2.0,))
SPANS = [{"begin": 5 * n, "end": 5 * n + 3, "type": "D", "parts": []} for n in range(4)]


def document(*links: tuple[int, int, str]) -> Sample:
    told = [{"first": one, "second": other, "type": kind} for one, other, kind in links]
    return Sample("a", {"text": "x" * 40, "spans": SPANS, "relations": told})


def counts(task: Relations, truth: Sample, found: Sample | None) -> list[int]:
    (row,) = task.score(truth, found)
    return [row[name] for name in ("true", "called", "right")]


def test_both_spans_and_the_type_have_to_be_right() -> None:
    truth = document((0, 1, "X"), (1, 2, "Y"), (0, 3, "Z"))
    assert counts(TASK, truth, document((1, 0, "X"), (1, 2, "X"), (2, 3, "Y"))) == [2, 3, 1]
    assert counts(TASK, truth, None) == [2, 0, 0]
    directed = Relations(Relations.Options(types=("X", "Y"), directed=True))
    assert counts(directed, truth, document((1, 0, "X"))) == [2, 1, 0]


def test_micro_f1_is_over_all_documents() -> None:
    rows: list[dict[str, Any]] = []
    for name, found in (("a", document((0, 1, "X"))), ("b", document((0, 1, "Y"), (1, 2, "Y")))):
        (row,) = TASK.score(document((0, 1, "X"), (1, 2, "Y")), found)
        rows.append({"sample_id": name, "case": name, **row})
    summary = TASK.conclude(table_of(rows), Bootstrap(0))
    # Of 3 called 2 are right, of 4 true 2 are found: 2 * 2 / (3 + 4).
    assert summary["metrics"]["f1"]["value"] == pytest.approx(4 / 7)
    assert summary["classes"]["X"]["recall"]["value"] == 0.5


def test_a_loss_belongs_to_the_document_of_its_pairs() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    target = {
        "labels": labels, "owners": torch.tensor([0, 0, 2, 2, 2]), "documents": torch.zeros(3),
    }  # fmt: skip
    each = -logits.log_softmax(1)[torch.arange(5), labels]
    losses = TASK.loss(logits, target)
    torch.testing.assert_close(
        losses, torch.stack([each[:2].sum(), torch.tensor(0.0), each[2:].sum()]) / 2
    )
    none = {"labels": labels[:0], "owners": labels[:0], "documents": torch.zeros(2)}
    blank = torch.zeros(1, 3, requires_grad=True)
    TASK.loss(blank, none).sum().backward()
    assert torch.equal(blank.grad, torch.zeros(1, 3))


def test_validation_chooses_from_what_probability_on_pairs_are_related() -> None:
    answers = np.array([[0.1, 0.8, 0.1], [0.9, 0.1, 0], [0, 0.6, 0.4], [0.62, 0.08, 0.3]])
    rows = np.array([TASK.judge(answers, np.array([1, 0, 2, 2], np.uint8))]).reshape(1, -1, 3)
    # None has less than .5: the first and the third are called, and one is right.
    assert rows[0, 9].tolist() == [1, 2, 3]
    assert rows[0, 12].tolist() == [2, 3, 3]
    assert rows[0, 18].tolist() == [2, 4, 3]
    found = TASK.summarise(rows.reshape(1, -1), None)
    assert found["val_f1"] == pytest.approx(2 / 3)
    assert found["val_threshold"] == pytest.approx(0.65)
    assert TASK.chosen(found) == {"threshold": pytest.approx(0.65)}
    given = Relations(Relations.Options(types=("X", "Y"), threshold=0.5))
    assert given.summarise(rows.reshape(1, -1), None)["val_f1"] == pytest.approx(2 / 5)
    assert given.chosen(found) == {}
    assert TASK.judge(np.zeros((0, 3)), None) == [0.0] * 57


def test_validation_counts_over_all_documents() -> None:
    table = np.tile([1, 2, 3], (1, 19)), np.tile([1, 1, 1], (1, 19))
    assert TASK.summarise(np.concatenate(table), None)["val_f1"] == pytest.approx(4 / 7)
