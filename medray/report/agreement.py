"""Two measurements of the same: one against the other, and how far they are apart by its size."""

from collections.abc import Mapping, Sequence

import numpy as np

from medray.report.drawing import INK, PALETTE, drawing, legend


def agreement(
    title: str,
    labels: tuple[str, str],
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> str:
    """Differences over means of pairs, with their mean and the limits that hold 95 % of normal ones
    (Bland & Altman 1986).

    Args:
        title: of the figure.
        labels: of the axes.
        points: by name the first and the second measurement; differences are first less second.
    """
    with drawing(title) as (axes, svg):
        apart: list[float] = []
        for number, (name, (first, second)) in enumerate(points.items()):
            one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
            apart += (one - other).tolist()
            colour = PALETTE[number % len(PALETTE)]
            axes.scatter((one + other) / 2, one - other, s=14, color=colour, alpha=0.7,
                         linewidths=0, label=name)  # fmt: skip
        bias, room = limits(apart)
        axes.axhline(bias, color=INK, linewidth=1)
        for edge in [bias - room, bias + room] if room is not None else []:
            axes.axhline(edge, color=INK, linewidth=0.9, linestyle="--")
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if len(points) > 1:
            legend(axes)
    return svg[0]


def pairs(
    title: str,
    labels: tuple[str, str],
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> str:
    """The first measurement against the second, which lies across; equal ones lie on the line.

    Args:
        title: of the figure.
        labels: of the axes.
        points: see `agreement`.
    """
    with drawing(title) as (axes, svg):
        for number, (name, (first, second)) in enumerate(points.items()):
            colour = PALETTE[number % len(PALETTE)]
            axes.scatter(second, first, s=14, color=colour, alpha=0.7, linewidths=0, label=name)
        high = max(*axes.get_xlim(), *axes.get_ylim())
        axes.plot([0, high], [0, high], color=INK, alpha=0.3, linewidth=1, linestyle="--")
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if len(points) > 1:
            legend(axes)
    return svg[0]


def limits(differences: Sequence[float]) -> tuple[float, float | None]:
    """The mean difference, and 1.96 standard deviations; None of fewer than two."""
    found = np.asarray(differences, np.float64)
    bias = float(found.mean()) if len(found) else 0.0
    return bias, 1.96 * float(found.std(ddof=1)) if len(found) > 1 else None
