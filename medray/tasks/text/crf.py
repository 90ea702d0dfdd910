"""Linear chains of tags: partition, score and best path (Lafferty et al. 2001; Rabiner 1989).

A chain is given by potentials (B, from, to, L): what it counts for that tag `to` stands at a place
behind tag `from`. A text begins as if behind tag 0, so of its first place the row of tag 0 counts.
Behind a text's end potentials are 0 on the diagonal and NEVER off it: they add nothing to any path.
"""

import torch
from torch import Tensor

NEVER = -1e4  # finite, so that sums and differences of it are


def log_partition(potentials: Tensor) -> Tensor:
    """The logarithm of the sum over all paths of the exponential of their scores, (B,)."""
    each = potentials.unbind(-1)
    alpha = each[0][:, 0]
    for one in each[1:]:
        alpha = torch.logsumexp(alpha[:, :, None] + one, 1)
    return torch.logsumexp(alpha, 1)


def path_score(potentials: Tensor, tags: Tensor) -> Tensor:
    """The score of a path, (B,).

    Args:
        potentials: (B, T, T, L).
        tags: int64 (B, L); behind a text's end its last tag again.
    """
    before = torch.cat([torch.zeros_like(tags[:, :1]), tags[:, :-1]], 1)
    batch, places = (torch.arange(size, device=tags.device) for size in tags.shape)
    taken: Tensor = potentials[batch[:, None], before, tags, places]
    return taken.sum(1)


def best_path(potentials: Tensor) -> Tensor:
    """The path of the highest score, int64 (B, L), by Viterbi's algorithm; ties go to the lowest
    tags, from the end on."""
    each = potentials.unbind(-1)
    best = each[0][:, 0]
    pointers: list[Tensor] = []
    for one in each[1:]:
        best, pointer = (best[:, :, None] + one).max(1)
        pointers.append(pointer)
    tag = best.argmax(1)
    path = [tag]
    for pointer in reversed(pointers):
        tag = pointer.gather(1, tag[:, None])[:, 0]
        path.append(tag)
    return torch.stack(path[::-1], 1)
