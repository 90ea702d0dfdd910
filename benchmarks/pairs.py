"""Candidates measured in turn: A B A B …, so that a machine whose speed drifts drifts for both."""

import os
import statistics
from collections.abc import Callable


def interleave(
    candidates: dict[str, Callable[[], float]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Call each candidate once a round.

    Args:
        candidates: by name, what runs once and returns its seconds.
        rounds: counted.
        warm: before these, not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for number in range(rounds + warm):
        for name in names if number % 2 else reversed(names):
            took = candidates[name]()
            if number >= warm:
                seconds[name].append(took)
    return seconds


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> float:
    """Print and return how many times faster `ours` is: the median over the rounds."""
    ratios = [b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
    median = statistics.median(ratios)
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}, n={len(ratios)}"
    print(f"{ours} / {theirs}: {median:.2f} ({spread}; load {os.getloadavg()[0]:.1f})")
    return median
