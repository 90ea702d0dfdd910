"""Beam search: the likeliest rows of tokens, of which each hangs on those before."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""Tokens (N,) that came last and a state, to log-probabilities (N, tokens) of the next and the
state then; every tensor of a state has N rows."""


class Found(NamedTuple):
    """What a search ends with.

    Args:
        tokens: int64 (B, T) of the best row, END from its end on.
        score: mean log-probability of a token of it, its END counted, (B,).
    """

    tokens: Tensor
    score: Tensor


END = 0
"""The token that ends a row, and that a row begins behind."""


def beam_search(step: Step, state: State, *, width: int, longest: int) -> Found:
    """The row with the best mean log-probability among those that a beam meets.

    A row that has ended keeps its place in the beam as long as it is among the likeliest; rows are
    told apart at the end by the mean of their tokens, since sums favour short ones. Width 1 takes
    the likeliest token each time.

    Args:
        step: of the network.
        state: to begin with, a row for each that is searched for.
        width: of the beam, for each of them.
        longest: tokens of a row, at most.
    """
    device, rows = state[0].device, len(state[0])
    state = tuple(one.repeat_interleave(width, 0) for one in state)
    total = torch.full((rows, width), -torch.inf, device=device)
    total[:, 0] = 0.0  # all places begin alike: one of them counts
    last = torch.full((rows * width,), END, dtype=torch.int64, device=device)
    tokens = torch.zeros((rows, width, 0), dtype=torch.int64, device=device)
    lengths = torch.zeros((rows, width), device=device)
    ended = torch.zeros((rows, width), dtype=torch.bool, device=device)
    base = (torch.arange(rows, device=device) * width)[:, None]
    for _ in range(longest):
        told, state = step(last, state)
        size = told.shape[1]
        told = told.float().view(rows, width, size)
        only_end = torch.full((size,), -torch.inf, device=device)
        only_end[END] = 0.0
        told = torch.where(ended[:, :, None], only_end, told)
        total, places = (total[:, :, None] + told).flatten(1).topk(width, 1)
        origin, chosen = places // size, places % size
        lengths = lengths.gather(1, origin) + ~ended.gather(1, origin)
        ended = ended.gather(1, origin) | (chosen == END)
        kept = tokens.gather(1, origin[:, :, None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([kept, chosen[:, :, None]], 2)
        state = tuple(one[(base + origin).flatten()] for one in state)
        last = chosen.flatten()
        if bool(ended.all()):
            break
    score, best = (total / lengths.clamp(min=1)).max(1)
    found = tokens.gather(1, best[:, None, None].expand(-1, 1, tokens.shape[2]))[:, 0]
    return Found(found, score)
