"""Answers at a level: intervals and prediction sets, from a validation to scores."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import table_of
from medray.tasks import build_task
from medray.tasks.base import Task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.section import ScoredCases

CASES = 400


def concluded(task: Task, answers: np.ndarray, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of answers, the first of which is missing."""
    scored = []
    for at, (answer, row) in enumerate(zip(answers, rows, strict=True)):
        given = Sample(str(at), task.decide(answer)) if at else None
        scored += [{"case": str(at), **one} for one in task.score(Sample(str(at), row), given)]
    summary = task.conclude(table_of(scored), Bootstrap(repeats=50))
    section = task.section(ScoredCases("scores", summary, scored))
    return {**summary, "section": section}


def regression(**options: Any) -> tuple[Task, np.ndarray, np.ndarray]:
    """A task, answers and the truth, of which some is not known."""
    random = np.random.default_rng(0)
    truth = random.normal(size=(2 * CASES, 2)) * [1.0, 10.0]
    answers = truth + random.normal(size=truth.shape) * [0.5, 5.0]
    truth[::3, 1] = np.nan
    made = {"name": "regression", "target": ["a", "b"], "level": 0.8, **options}
    return build_task(made), answers, truth


def test_intervals_come_from_the_validation_and_cover_what_is_new() -> None:
    task, answers, truth = regression()
    assert task.calibrates
    assert task.decide(answers[0]).keys() == {"predicted"}
    metrics = task.summarise(answers[:CASES], truth[:CASES])
    assert metrics.keys() == task.validates
    task, _, _ = regression(**task.chosen(metrics))
    assert not task.calibrates
    assert task.chosen(metrics) == {}
    row = task.decide(np.array([1.0, 2.0]))
    half = metrics["val_margin_a"]
    assert (row["low"][0], row["high"][0]) == (1 - half, 1 + half)
    rows = [
        {"a": float(a), "b": None if np.isnan(b) else float(b)} for a, b in truth[CASES:].tolist()
    ]
    found = concluded(task, answers[CASES:], rows)
    inside = np.abs(answers - truth)[CASES:] <= [half, metrics["val_margin_b"]]
    known = ~np.isnan(truth[CASES:])
    inside[0] = False  # without a prediction
    for at, name in enumerate("ab"):
        share = inside[known[:, at], at].mean()
        assert found["classes"][name]["coverage"]["value"] == pytest.approx(share)
        assert abs(share - 0.8) < 0.08
    assert found["classes"]["b"]["width"]["value"] == pytest.approx(2 * metrics["val_margin_b"])
    assert found["metrics"]["coverage"]["low"] < found["metrics"]["coverage"]["value"]
    assert any("0.8 of new values" in one for one in found["section"].definitions)
    assert any(tile.metric.label == "in the interval" for tile in found["section"].tiles)
    assert any("bootstrap intervals" in table.lead for table in found["section"].tables)


def test_too_few_are_said_to_be_too_few() -> None:
    task, answers, truth = regression(level=0.99)
    metrics = task.summarise(answers[:50], truth[:50])
    assert task.chosen(metrics) == {}
    assert "takes 99 validated values" in task.describe()[0]


def test_one_value_has_plain_ends() -> None:
    task = build_task({"name": "regression", "target": "a", "level": 0.5, "margins": [2.0]})
    assert task.decide(np.array([1.0])) == {"predicted": 1.0, "low": -1.0, "high": 3.0}
    (row,) = task.score(Sample("s", {"a": 3.5}), Sample("s", task.decide(np.array([1.0]))))
    assert (row["covered"], row["width"]) == ([False], [4.0])


def classification(**options: Any) -> tuple[Task, np.ndarray, np.ndarray]:
    """A task, probabilities of three classes and the truth; the last class is rare."""
    random = np.random.default_rng(1)
    truth = random.choice(3, 4 * CASES, p=[0.5, 0.4, 0.1])
    logits = random.normal(size=(4 * CASES, 3)) + 1.5 * np.eye(3)[truth]
    answers = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    made = {"name": "classification", "classes": ["x", "y", "z"], "level": 0.9, **options}
    return build_task(made), answers, truth


def test_sets_come_from_the_validation_and_hold_each_class() -> None:
    task, answers, truth = classification()
    assert task.calibrates
    half = 2 * CASES
    metrics = task.summarise(answers[:half], truth[:half])
    assert metrics.keys() == task.validates
    chosen = task.chosen(metrics)
    task, _, _ = classification(**chosen)
    assert not task.calibrates
    row = task.decide(answers[half])
    wanted = answers[half] >= chosen["least"]
    assert row["prediction_set"] == [name for name, one in zip("xyz", wanted, strict=True) if one]
    rows = [{"target": int(one)} for one in truth[half:]]
    found = concluded(task, answers[half:], rows)
    held = answers[half:] >= chosen["least"]
    right = held[np.arange(half), truth[half:]]
    right[0] = False  # without a prediction
    assert found["metrics"]["coverage"]["value"] == pytest.approx(right.mean())
    assert found["metrics"]["set_size"]["value"] == pytest.approx(held[1:].sum(1).mean())
    table = next(one for one in found["section"].tables if one.title == "Prediction sets")
    own = truth[half + 1 :] == 2
    assert table.rows[2]["cases"] == own.sum()
    assert table.rows[2]["covered"] == pytest.approx(right[1:][own].mean())
    assert all(abs(one["covered"] - 0.9) < 0.1 for one in table.rows)


def test_labels_that_go_together_have_no_set() -> None:
    with pytest.raises(ValidationError, match="one class a case"):
        classification(multi_label=True)


@pytest.mark.parametrize("level", [0, 1, 1.5])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValidationError):
        regression(level=level)
