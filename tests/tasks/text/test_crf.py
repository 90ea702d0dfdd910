"""Chains of tags against all their paths, one by one."""

from itertools import product

import torch

from medray.models.text.base import chain
from medray.tasks.text.crf import best_path, log_partition, path_score


def score(potentials: torch.Tensor, path: tuple[int, ...]) -> float:
    before = (0, *path[:-1])
    return sum(
        float(potentials[one, other, at])
        for at, (one, other) in enumerate(zip(before, path, strict=True))
    )


def test_partition_scores_and_best_path_are_those_of_all_paths() -> None:
    torch.manual_seed(0)
    tags, lengths = 4, [5, 1, 3]
    potentials = chain(torch.randn(3, tags, 5), torch.randn(tags, tags), torch.tensor(lengths))
    partition, best = log_partition(potentials), best_path(potentials)
    for row, length in enumerate(lengths):
        paths = list(product(range(tags), repeat=length))
        scores = torch.tensor([score(potentials[row], path) for path in paths])
        torch.testing.assert_close(partition[row], scores.logsumexp(0))
        found = tuple(best[row, :length].tolist())
        assert found == paths[int(scores.argmax())]
        assert set(best[row, length:].tolist()) <= {found[-1]}
        filled = torch.tensor([[*found, *[found[-1]] * (5 - length)]])
        torch.testing.assert_close(path_score(potentials[row : row + 1], filled)[0], scores.max())


def test_what_lies_behind_a_text_changes_nothing() -> None:
    torch.manual_seed(1)
    emissions, transitions = torch.randn(1, 3, 4), torch.randn(3, 3)
    alone = chain(emissions, transitions, torch.tensor([4]))
    longer = torch.cat([emissions, torch.randn(1, 3, 6)], 2)
    among = chain(longer, transitions, torch.tensor([4]))
    torch.testing.assert_close(log_partition(among), log_partition(alone))
    assert torch.equal(best_path(among)[:, :4], best_path(alone))


def test_gradients_of_the_partition_are_marginals() -> None:
    torch.manual_seed(2)
    potentials = torch.randn(1, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    log_partition(potentials).sum().backward()
    # At each place the chances of all pairs of tags are one (Lafferty et al. 2001, eq. 4).
    torch.testing.assert_close(potentials.grad.sum((0, 1, 2)), torch.ones(4, dtype=torch.float64))
    assert float(potentials.grad.min()) >= 0
