import numpy as np
import pytest
import torch
from torch.nn import functional

from medray.errors import DataError
from medray.tasks import build_task


def task_of(classes: int = 3, frequencies: list[float] | None = None, **options: object):
    names = [f"c{index}" for index in range(classes)]
    return build_task({"name": "classification", "classes": names, **options}, frequencies)


def test_loss_is_cross_entropy() -> None:
    logits, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 1])
    got = task_of(label_smoothing=0.1).loss(logits, target)
    wanted = functional.cross_entropy(logits, target, reduction="none", label_smoothing=0.1)
    assert torch.allclose(got, wanted)


def test_balanced_weights_equal_out_the_classes() -> None:
    logits = torch.zeros(10, 2)
    target = torch.tensor([0] * 8 + [1] * 2)
    loss = task_of(2, [0.8, 0.2]).loss(logits, target)
    assert loss[:8].sum().item() == pytest.approx(loss[8:].sum().item(), rel=1e-5)
    assert loss.mean().item() == pytest.approx(np.log(2), rel=1e-5)


def test_multi_label_loss_weights_the_positives() -> None:
    logits, target = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    plain = task_of(multi_label=True, class_weights="none").loss(logits, target)
    wanted = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
    assert torch.allclose(plain, wanted)
    weighted = task_of(3, [0.5, 0.25, 0.1], multi_label=True).loss(logits, target)
    torchs = functional.binary_cross_entropy_with_logits(
        logits, target, reduction="none", pos_weight=torch.tensor([1.0, 3.0, 9.0])
    )
    assert torch.allclose(weighted, torchs.mean(1), atol=1e-6)


def test_targets_by_number_name_list_and_columns() -> None:
    rows = [{"target": 2}, {"target": "c1"}, {"target": [0]}]
    assert task_of().targets(rows).tolist() == [2, 1, 0]
    several = task_of(multi_label=True, target=("c0", "c1", "c2"))
    assert several.targets([{"c0": 1, "c1": 0, "c2": 1}]).tolist() == [[1, 0, 1]]
    assert task_of(multi_label=True).targets([{"target": [0, 1, 1]}]).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("row", [{}, {"target": 3}, {"target": "x"}, {"target": [0, 1]}])
def test_unusable_targets_are_named(row: dict) -> None:
    with pytest.raises(DataError, match="bad-target") as caught:
        task_of().targets([{"sample_id": "s1", **row}])
    assert caught.value.about == "s1"


def test_validation_is_area_and_accuracy() -> None:
    table = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    metrics = task_of(2).summarise(table, np.array([0, 1, 1, 0]))
    assert metrics == {"val_auc": 1.0, "val_accuracy": 0.75}


def test_decisions() -> None:
    assert task_of().decide(np.array([0.2, 0.5, 0.3]))["predicted"] == "c1"
    row = task_of(multi_label=True).decide(np.array([0.9, 0.1, 0.6]))
    assert row == {"probability": [0.9, 0.1, 0.6], "predicted": ["c0", "c2"]}
    logits = torch.tensor([[2.0, 0.0, 1.0]])
    assert task_of().probabilities(logits).sum().item() == pytest.approx(1)
    assert torch.allclose(task_of(multi_label=True).probabilities(logits), logits.sigmoid())
