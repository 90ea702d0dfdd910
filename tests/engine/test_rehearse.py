"""What a task says of its metrics before there are data is what it gives afterwards."""

from typing import Any

import numpy as np
import pytest

from medray.tasks import build_task


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        ({"name": "segmentation", "classes": ["none", "a", "b"]}, None),
        ({"name": "classification", "classes": ["a", "b", "c"]}, np.array([0, 1, 2, 1])),
        (
            {"name": "classification", "classes": ["a", "b"], "multi_label": True},
            np.array([[0, 1], [1, 0], [1, 1], [0, 0]], np.float32),
        ),
        ({"name": "regression", "target": "x"}, np.arange(4.0)[:, None]),
        ({"name": "regression", "target": ["x", "y"]}, np.arange(8.0).reshape(4, 2)),
        ({"name": "tagging", "classes": ["no", "yes"]}, None),
        ({"name": "tagging", "classes": ["a", "b", "c"]}, None),
    ],
)
def test_metrics_are_named_before(options: dict[str, Any], targets: np.ndarray | None) -> None:
    task = build_task(options)
    table = np.random.default_rng(0).random((4, task.columns))
    assert task.validates == task.summarise(table, targets).keys()
    assert task.metric in task.validates
