"""Losses and scores of texts are in nats a token, and each token weighs the same."""

import math

import numpy as np
import pytest
import torch

from medray.tasks import build_task
from medray.tasks.base import NO_LABEL


def test_the_loss_of_a_batch_is_in_nats_a_token() -> None:
    task = build_task({"name": "language"}, [3.0])
    target = torch.tensor([[1, 2, 0, NO_LABEL], [1, 0, NO_LABEL, NO_LABEL], [1, 2, 2, 0]])
    losses = task.loss(torch.zeros(3, 5, 4), target)
    torch.testing.assert_close(losses, torch.tensor([3.0, 2.0, 4.0]) * math.log(5) / 3)
    logits = torch.randn(3, 5, 4)
    logits[0, :, 3] = 1e4 * torch.randn(5)  # behind the end: of no account
    assert task.loss(logits, target)[0].isfinite()
    assert task.statistics(np.array([2, 4])) == (3.0,)


def test_a_case_is_judged_by_its_own_tokens() -> None:
    task = build_task({"name": "language"})
    answer = np.full((4, 3), 0.25)
    answer[:, 0] = [0.5, 0.5, 0, 0]
    assert task.judge(answer, np.array([1, 0, NO_LABEL])) == pytest.approx([math.log(8), 2, 0])
    assert task.judge(answer, np.array([NO_LABEL])) == [0.0, 0.0, 0.0]
    # A text comes back where each of its tokens is the likeliest behind those before it.
    answer[0, 1] = 0.3
    assert task.judge(answer, np.array([0, 0, NO_LABEL]))[2] == 1.0
    assert task.judge(answer, np.array([0, 1, NO_LABEL]))[2] == 0.0
    table = np.array([[2.0, 2, 1], [4.0, 1, 0], [0, 0, 0]])
    found = task.summarise(table, None)
    wanted = {"val_nats": 2.0, "val_perplexity": math.e**2, "val_exact": 1 / 3, "val_unknown": 1}
    assert found == pytest.approx(wanted)
    assert set(found) == task.validates
    assert task.decide(np.array([6.0, 3.0, 1.0])) == {"nats": 2.0, "tokens": 3}
