"""What a task says of its metrics before there are data is what it gives afterwards; and a
network is looked at before there are data without torch's compiler."""

import subprocess
import sys
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
        ({"name": "regression", "target": "x", "level": 0.9}, np.arange(4.0)[:, None]),
        ({"name": "classification", "classes": ["a", "b"], "level": 0.9}, np.array([0, 1, 0, 1])),
        ({"name": "tagging", "classes": ["no", "yes"]}, None),
        ({"name": "tagging", "classes": ["a", "b", "c"]}, None),
    ],
)
def test_metrics_are_named_before(options: dict[str, Any], targets: np.ndarray | None) -> None:
    task = build_task(options)
    table = np.random.default_rng(0).random((4, task.columns))
    assert task.validates == task.summarise(table, targets).keys()
    assert task.metric in task.validates
    assert {task.metric_of(name).label for name in task.validates}  # each is known


LOOK = """
import sys
from medray.steps.train.rehearse import rehearse
from medray.modalities import modality_of
from medray.spec.check import check
from medray.spec.kinds import STEP
from medray.tasks import build_task

for model, task, plan in (
    ({"name": "unet", "dims": 3, "features": [8, 16]},
     {"name": "segmentation", "classes": ["none", "a"]}, {"patch": [16, 32, 32]}),
    ({"name": "transformer"}, {"name": "classification", "classes": ["a", "b"]}, {}),
):
    step = {"kind": "train", "data": "d", "task": task, "model": model, "output": "m"}
    step = check(STEP, step, str)
    given = modality_of(model).PlanOptions.model_validate(plan)
    rehearse(step, given, build_task(task), None, lambda *said: print(*said))
print("torch._dynamo" in sys.modules)
"""


def test_a_look_at_a_network_loads_no_compiler() -> None:
    command = [sys.executable, "-c", LOOK]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
