"""Curves of steps, their intervals, and how many are at risk below: Kaplan-Meier and its kin."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from medray.report.drawing import PALETTE, drawing, legend


def steps(title: str, labels: tuple[str, str], start: float, curves: Mapping[str, Any]) -> str:
    """A curve of each group, its interval as a band, and what was predicted as a dashed line.

    Args:
        title: of the figure.
        labels: of the axes.
        start: value at 0.
        curves: by name `times` and `values` of steps; `low` and `high`, None where there is none;
            `predicted`, (x, y), and `at_risk`, (times, counts).
    """
    with drawing(title, 3.2 + 0.22 * len(curves)) as (axes, svg):
        for number, (name, one) in enumerate(curves.items()):
            colour = PALETTE[number % len(PALETTE)]
            end = one["at_risk"][0][-1]
            times = np.array([0.0, *one["times"], end])
            values = np.array([start, *one["values"]])
            axes.step(times, np.append(values, values[-1]), where="post", color=colour, label=name)
            if one["low"] is not None:
                low, high = (
                    np.array([np.nan if v is None else v for v in one[side]], np.float64)
                    for side in ("low", "high")
                )
                axes.fill_between(
                    one["times"], low, high, step="post", color=colour, alpha=0.16, linewidth=0
                )
            axes.plot(*one["predicted"], color=colour, linewidth=1.2, linestyle="--")
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel(labels[1])
        legend(axes, loc="center left", bbox_to_anchor=(1.02, 0.5))
        _risk_table(axes, labels[0], curves)
    return svg[0]


def _risk_table(axes: Axes, label: str, curves: Mapping[str, Any]) -> None:
    """Numbers at risk below the ticks of time, a line for each curve."""
    marks: Sequence[float] = next(iter(curves.values()))["at_risk"][0] if curves else []
    lines = [[str(count) for count in one["at_risk"][1]] for one in curves.values()]
    told = [
        "\n".join([f"{mark:.4g}", *column]) for mark, *column in zip(marks, *lines, strict=True)
    ]
    axes.set_xticks(list(marks), told)
    axes.set_xlabel(f"{label}; below it how many are at risk, group by group")
