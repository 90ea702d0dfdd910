"""What sections of a page can draw, by kind: each kind is a function of a title and of data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from medray.report.agreement import agreement, pairs
from medray.report.drawing import INK, PALETTE, drawing, legend
from medray.report.steps import steps
from medray.report.traces import trace
from medray.tasks.section import Figure

FAILED = PALETTE[4]
SHOWN = 3000  # points in a scatter; those that fail come first

Numbers = Sequence[float | None]


def draw(figure: Figure) -> str:
    """The SVG of a figure."""
    return MAKERS[figure.kind](figure.title, **figure.data)


def line(
    title: str,
    label: str,
    lines: Mapping[str, tuple[Numbers, Numbers]],
    bands: Mapping[str, tuple[Numbers, Numbers]] | None = None,
    up: str = "",
) -> str:
    """Curves, (x, y) by name; a single point is drawn as one.

    Args:
        title: of the figure.
        label: of the axis across.
        lines: name → x and y.
        bands: name → lower and upper y of an interval around its curve.
        up: label of the other axis.
    """
    with drawing(title) as (axes, svg):
        for colour, (name, (x, y)) in zip(_colours(lines), lines.items(), strict=True):
            marker = "o" if len(x) == 1 else None
            axes.plot(_numbers(x), _numbers(y), color=colour, label=name, marker=marker)
            if name in (bands or {}):
                low, high = map(_numbers, (bands or {})[name])
                axes.fill_between(_numbers(x), low, high, color=colour, alpha=0.18, linewidth=0)
        axes.set_xlabel(label)
        axes.set_ylabel(up)
        legend(axes)
    return svg[0]


def strip(title: str, label: str, values: Mapping[str, Sequence[float]]) -> str:
    """Distribution of a per-case score: its cases as dots, its quartiles and median, per class.

    Args:
        title: of the figure.
        label: of the axis, with the unit.
        values: class → values of its cases.
    """
    with drawing(title) as (axes, svg):
        names = list(values)
        spread = np.random.default_rng(0)  # moves equal points apart, always the same way
        for row, (colour, name) in enumerate(zip(_colours(names), names, strict=True)):
            found = np.asarray(values[name], dtype=np.float64)
            height = row + spread.uniform(-0.22, 0.22, len(found))
            alpha = 0.75 if len(found) < 200 else 0.3
            axes.scatter(found, height, s=14, color=colour, alpha=alpha, linewidths=0)
            if len(found):
                low, middle, high = np.percentile(found, (25, 50, 75))
                axes.plot([low, high], [row - 0.36] * 2, color=colour, linewidth=3)
                axes.plot([middle], [row - 0.36], "o", color=INK, markersize=5)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(label)
    return svg[0]


def spread(
    title: str,
    labels: tuple[str, str],
    series: Mapping[str, Sequence[float]],
    limit: float | None = None,
) -> str:
    """Values of subjects, each series sorted already, by rank; `limit` is drawn as a line."""
    with drawing(title, 3.1 + 0.15 * len(series)) as (axes, svg):
        for colour, (name, values) in zip(_colours(series), series.items(), strict=True):
            rank = np.arange(1, len(values) + 1)
            axes.plot(rank, values, color=colour, linewidth=1, alpha=0.7)
            axes.scatter(rank, values, s=12, color=colour, linewidths=0, label=name)
        if limit is not None:
            axes.axhline(limit, color=FAILED, linewidth=1.2, linestyle="--")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # as short as can be
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        legend(axes, loc="upper left", bbox_to_anchor=(0, -0.2), fontsize=9, markerscale=1.5)
    return svg[0]


def roc(title: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """ROC curves by class: false and true positive rates."""
    with drawing(title) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=INK, alpha=0.3, linewidth=1, linestyle="--")
        for colour, (name, (false, true)) in zip(_colours(curves), curves.items(), strict=True):
            axes.plot(false, true, color=colour, label=name)
        _square(axes)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        legend(axes, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return svg[0]


def reliability(
    title: str,
    curves: Mapping[str, Mapping[str, Numbers]],
    histogram: Sequence[int] | None = None,
) -> str:
    """Reliability diagram: how often it was so, against how sure the model was.

    Args:
        title: of the figure.
        curves: name → `confidence`, `frequency` and `cases` of its points; where it has `low` and
            `high`, too, intervals are drawn.
        histogram: cases in equal bins from 0 to 1, along the lower edge.
    """
    with drawing(title) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=INK, alpha=0.3, linewidth=1, linestyle="--")
        for colour, (name, points) in zip(_colours(curves), curves.items(), strict=True):
            cases = np.asarray(points["cases"], dtype=np.float64)
            size = 12 + 120 * cases / max(cases.max(initial=1), 1)
            x, y = _numbers(points["confidence"]), _numbers(points["frequency"])
            axes.plot(x, y, color=colour, label=name)
            if "low" in points:
                low, high = _numbers(points["low"]), _numbers(points["high"])
                axes.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.7)
            axes.scatter(x, y, s=size, color=colour, alpha=0.5, linewidths=0)
        if histogram is not None:
            heights = np.asarray(histogram) / max(*histogram, 1)
            edges = np.linspace(0, 1, len(heights) + 1)
            axes.stairs(0.15 * heights, edges, fill=True, color=INK, alpha=0.25)
        _square(axes)
        axes.set_xlabel("mean confidence (area: cases)")
        axes.set_ylabel("observed frequency")
        legend(axes, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return svg[0]


def calibration(title: str, curves: Mapping[str, Mapping[str, Numbers]]) -> str:
    """Mean truth against mean prediction of equal parts of the cases, in each value's own unit;
    with `low` and `high`, where they are known, its interval."""
    with drawing(title) as (axes, svg):
        for colour, (name, points) in zip(_colours(curves), curves.items(), strict=True):
            x, y = _numbers(points["predicted"]), _numbers(points["actual"])
            axes.plot(x, y, "o-", color=colour, label=name)
            if "low" in points:
                apart = (y - _numbers(points["low"]), _numbers(points["high"]) - y)
                axes.errorbar(x, y, apart, fmt="none", ecolor=colour, alpha=0.6, linewidth=1)
        ends = [*axes.get_xlim(), *axes.get_ylim()]
        line = [min(ends), max(ends)]
        axes.plot(line, line, color=INK, alpha=0.3, linewidth=1, linestyle="--")
        axes.set_xlabel("mean prediction of an equal part of the cases")
        axes.set_ylabel("mean truth")
        legend(axes, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return svg[0]


def histogram(
    title: str,
    label: str,
    low: float,
    high: float,
    counts: Sequence[int],
    limit: float | None = None,
) -> str:
    """Counts in equal bins between two ends; `limit` is a threshold, drawn as a line."""
    found = np.asarray(counts)
    edges = np.linspace(low, high, len(found) + 1)
    filled = np.flatnonzero(found)
    with drawing(title) as (axes, svg):
        axes.stairs(found, edges, fill=True, color=PALETTE[0], alpha=0.8)
        if len(filled):
            # The bins that hold something, and a little beside them.
            first, last = edges[filled[0]], edges[filled[-1] + 1]
            room = 0.03 * (last - first)
            axes.set_xlim(first - room, last + room)
            if found.max() > 200 * max(1, np.median(found[filled])):
                axes.set_yscale("log")
        if limit is not None:
            axes.axvline(limit, color=FAILED, linewidth=1.2, linestyle="--")
        axes.set_xlabel(label)
        axes.set_ylabel("count")
    return svg[0]


def qq(
    title: str, low: float, high: float, counts: Sequence[int], limit: float | None = None
) -> str:
    """Observed against expected -log10 p, from a histogram of it: a point for each bin, at the
    share of p below it; `limit` is a threshold of p."""
    found = np.asarray(counts, np.float64)
    edges = np.linspace(low, high, len(found) + 1)
    above = found[::-1].cumsum()[::-1]
    filled = found > 0
    expected = -np.log10(above[filled] / found.sum())
    with drawing(title) as (axes, svg):
        end = max(float(expected.max(initial=1)), 1.0)
        axes.plot([0, end], [0, end], color=PALETTE[5], linewidth=1, linestyle="--")
        axes.plot(expected, edges[:-1][filled], "o", color=PALETTE[0], markersize=3.5)
        if limit:
            axes.axhline(-np.log10(limit), color=FAILED, linewidth=1.2, linestyle="--")
        axes.set_xlabel("expected -log10 p")
        axes.set_ylabel("observed -log10 p")
    return svg[0]


def scatter(
    title: str,
    labels: tuple[str, str],
    x: Numbers,
    y: Numbers,
    failed: Sequence[bool] | None = None,
    groups: Sequence[int] | None = None,
) -> str:
    """Points, in the colours of their groups, or those that failed in another colour."""
    across, up = _numbers(x), _numbers(y)
    with drawing(title) as (axes, svg):
        if groups is None:
            bad = np.zeros(len(across), bool) if failed is None else np.asarray(failed, bool)
            _kept(axes, across, up, bad)
        else:
            _grouped(axes, across, up, np.asarray(groups, np.int64))
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
    return svg[0]


def heat(
    title: str,
    values: Sequence[Numbers],
    names: Sequence[str],
    label: str,
    unit: str,
    limits: tuple[float, float],
) -> str:
    """A square of values between two limits, its lines named."""
    with drawing(title) as (axes, svg):
        found = np.array([_numbers(line) for line in values])
        low, high = limits
        shown = axes.imshow(found, cmap="RdBu_r", vmin=low, vmax=high, interpolation="nearest")
        figure = axes.get_figure()
        if figure is not None:
            figure.colorbar(shown, ax=axes, label=unit)
        axes.grid(visible=False)
        if len(names) <= 12:
            axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names, fontsize=6)
        axes.set_xlabel(label)
    return svg[0]


MAKERS: dict[str, Callable[..., str]] = {
    "line": line,
    "strip": strip,
    "spread": spread,
    "trace": trace,
    "roc": roc,
    "reliability": reliability,
    "calibration": calibration,
    "steps": steps,
    "histogram": histogram,
    "scatter": scatter,
    "qq": qq,
    "heat": heat,
    "agreement": agreement,
    "paired": pairs,
}


def _kept(axes: Axes, x: np.ndarray, y: np.ndarray, bad: np.ndarray) -> None:
    order = np.argsort(~bad, kind="stable")[:SHOWN]
    for chosen, colour in ((order[~bad[order]], PALETTE[0]), (order[bad[order]], FAILED)):
        if len(chosen):
            label = "not kept" if colour == FAILED else "kept"
            axes.scatter(
                x[chosen], y[chosen], s=11, color=colour, alpha=0.6, linewidths=0, label=label
            )
    if bad.any():
        legend(axes)


def _grouped(axes: Axes, x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
    for number in range(int(groups.max(initial=0)) + 1):
        chosen = groups == number
        axes.scatter(
            x[chosen],
            y[chosen],
            s=10,
            color=PALETTE[number % len(PALETTE)],
            marker="os^D"[number // len(PALETTE) % 4],
            alpha=0.6,
            linewidths=0,
            label=str(number + 1),
        )
    legend(axes, title="group", loc="center left", bbox_to_anchor=(1.02, 0.5), markerscale=1.8)


def _numbers(values: Numbers) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _colours(things: Any) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(len(things))]


def _square(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
