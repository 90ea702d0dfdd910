"""Figures that reports make of their own: curves of trainings, and columns that drift."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medray.report.drawing import PALETTE, drawing, legend
from medray.tasks.section import Figure

_FEWEST_EPOCHS = 4
_CLOCKS = ("epoch", "step", "lr", "seconds")  # of a history's row: no losses

History = Sequence[Mapping[str, float | None]]


def training_curves(history: History, directions: Mapping[str, bool]) -> list[Figure]:
    """The losses, and the metrics of validations (`val_…`), a figure each.

    Args:
        history: a row per step (or epoch) with `epoch` and maybe `step`, counted from 0. Losses are
            averaged over each epoch, unless there are too few epochs to make a curve.
        directions: of metrics, whether higher is better, where it is known.
    """
    if not history:
        return []
    epochs = len({row.get("epoch") for row in history})
    clock = "epoch" if epochs >= _FEWEST_EPOCHS or "step" not in history[0] else "step"
    names = list(dict.fromkeys(name for row in history for name in row))
    scores = [name for name in names if name.startswith("val_")]
    losses = [name for name in names if name not in (*scores, *_CLOCKS)]
    figures = []
    for title, chosen in (("Loss", losses), ("Validation", scores)):
        lines = {_words(name, directions): _line(history, clock, name) for name in chosen}
        lines = {name: line for name, line in lines.items() if line[0]}
        if lines:
            figures.append(Figure("line", title, {"label": clock, "lines": lines}))
    return figures


def shift(title: str, reference: Any, tonight: Any) -> str:
    """Two distributions of one number, as shares: the reference filled, tonight as a line."""
    fences = [_fences(np.asarray(values)) for values in (reference, tonight)]
    low, high = min(fence[0] for fence in fences), max(fence[1] for fence in fences)
    both = np.concatenate([reference, tonight])
    with drawing(title) as (axes, svg):
        edges = np.histogram_bin_edges(both, 24, (low, high)).tolist()
        if both.min() < low or both.max() > high:
            reference, tonight = (np.clip(values, low, high) for values in (reference, tonight))
            axes.set_xlabel("the outermost bars hold what lies beyond")
        weights = [np.full(len(values), 1 / len(values)) for values in (reference, tonight)]
        label = f"reference, {len(reference)}"
        axes.hist(reference, edges, weights=weights[0], color=PALETTE[5], alpha=0.45, label=label)
        label, colour = f"tonight, {len(tonight)}", PALETTE[1]
        axes.hist(
            tonight, edges, weights=weights[1], histtype="step", color=colour, label=label, lw=1.8
        )
        axes.set_ylabel("share of samples")
        legend(axes)
    return svg[0]


def _fences(values: np.ndarray) -> tuple[float, float]:
    """Within which all but outliers lie, by Tukey's far fences: one of them would leave the rest of
    a distribution a single bar."""
    first, third = np.percentile(values, [25, 75])
    far = 3 * (third - first)
    low, high = float(values.min()), float(values.max())
    return (max(low, first - far), min(high, third + far)) if far > 0 else (low, high)


def _line(history: History, clock: str, name: str) -> tuple[list[float], list[float]]:
    """The mean of a column at each tick of the clock, counted from 1."""
    values: dict[float, list[float]] = {}
    for row in history:
        x, y = row.get(clock), row.get(name)
        if x is not None and y is not None:
            values.setdefault(x + 1, []).append(y)
    return list(values), [sum(found) / len(found) for found in values.values()]


def _words(name: str, directions: Mapping[str, bool]) -> str:
    arrow = "" if name not in directions else " ↑" if directions[name] else " ↓"
    return name.replace("_", " ") + arrow
