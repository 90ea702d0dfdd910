"""Figures of the report: small SVGs that take the page's text colour, so they follow its theme."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = ("#3b82c4", "#e08a1e", "#2a9d6f", "#b05cc6", "#d1495b", "#7a7f87")

_FEWEST_EPOCHS = 4

# Matplotlib can't write `currentColor`; this colour is nobody's and is replaced in the SVG.
_INK = "#010203"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "medray",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def training_curves(history: Sequence[Mapping[str, float | None]]) -> list[str]:
    """One SVG of the losses and one of the validation metrics.

    Args:
        history: a row per step (or epoch) with `epoch` and maybe `step`, counted from 0. Losses are
            averaged over each epoch, unless there are too few epochs to make a curve.
    """
    if not history:
        return []
    epochs = len({row.get("epoch") for row in history})
    clock = "epoch" if epochs >= _FEWEST_EPOCHS or "step" not in history[0] else "step"
    names = list(dict.fromkeys(name for row in history for name in row))
    losses = [name for name in names if name.endswith("loss")]
    scores = [name for name in names if name.startswith("val_") and name not in losses]
    figures = []
    for title, chosen in (("Loss", losses), ("Validation", scores)):
        lines = {name: _line(history, clock, name) for name in chosen}
        lines = {name: line for name, line in lines.items() if line[0]}
        if not lines:
            continue
        with drawing(title) as (axes, svg):
            for colour, (name, (x, y)) in zip(_colours(lines), lines.items(), strict=True):
                marker = "o" if len(x) == 1 else None
                axes.plot(x, y, color=colour, label=_words(name), marker=marker)
            axes.set_xlabel(clock)
            axes.legend()
        figures.append(svg[0])
    return figures


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
                axes.plot([middle], [row - 0.36], "o", color=_INK, markersize=5)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(label)
    return svg[0]


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
        axes.legend()
    return svg[0]


def _fences(values: np.ndarray) -> tuple[float, float]:
    """Within which all but outliers lie, by Tukey's far fences: one of them would leave the rest of
    a distribution a single bar."""
    first, third = np.percentile(values, [25, 75])
    far = 3 * (third - first)
    low, high = float(values.min()), float(values.max())
    return (max(low, first - far), min(high, third + far)) if far > 0 else (low, high)


def roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """ROC curves, one per class."""
    with drawing("ROC") as (axes, svg):
        axes.plot([0, 1], [0, 1], color=_INK, alpha=0.3, linewidth=1, linestyle="--")
        for colour, (name, (false, true)) in zip(_colours(curves), curves.items(), strict=True):
            axes.plot(false, true, color=colour, label=name)
        _square(axes)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return svg[0]


def reliability(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Reliability diagram: how often it was so, against how sure the model was."""
    with drawing("Reliability") as (axes, svg):
        axes.plot([0, 1], [0, 1], color=_INK, alpha=0.3, linewidth=1, linestyle="--")
        for colour, (name, points) in zip(_colours(curves), curves.items(), strict=True):
            cases = np.asarray(points["cases"], dtype=np.float64)
            size = 12 + 120 * cases / max(cases.max(initial=1), 1)
            x, y = points["confidence"], points["frequency"]
            axes.plot(x, y, color=colour, label=name)
            axes.scatter(x, y, s=size, color=colour, alpha=0.5, linewidths=0)
        _square(axes)
        axes.set_xlabel("mean confidence (area: cases)")
        axes.set_ylabel("observed frequency")
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return svg[0]


def calibration(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Mean truth against mean prediction of tenths of the cases, in each value's own unit."""
    with drawing("Predicted and true") as (axes, svg):
        for colour, (name, points) in zip(_colours(curves), curves.items(), strict=True):
            axes.plot(points["predicted"], points["actual"], "o-", color=colour, label=name)
        ends = [*axes.get_xlim(), *axes.get_ylim()]
        line = [min(ends), max(ends)]
        axes.plot(line, line, color=_INK, alpha=0.3, linewidth=1, linestyle="--")
        axes.set_xlabel("mean prediction of a tenth of the cases")
        axes.set_ylabel("mean truth")
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return svg[0]


@contextmanager
def drawing(title: str) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw into, and a list that holds the SVG once the block has ended."""
    result: list[str] = []
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.1), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title)
        yield axes, result
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    result.append(_inline(buffer.getvalue(), title))


def _inline(svg: str, title: str) -> str:
    """The <svg> element alone: scaled by the page, in its colour and font, with its own ids."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = body.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    body = body.replace(_INK, "currentColor")
    body = re.sub(r"font: (bold )?([\d.]+px)[^;\"]*", r"font: \1\2 inherit", body)
    # Several figures share one page: drop the ids that nothing refers to.
    used = set(re.findall(r"(?:#)([\w-]+)", body))
    return re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", body)


def _line(
    history: Sequence[Mapping[str, float | None]], clock: str, name: str
) -> tuple[list[float], list[float]]:
    """The mean of a column at each tick of the clock, counted from 1."""
    values: dict[float, list[float]] = {}
    for row in history:
        x, y = row.get(clock), row.get(name)
        if x is not None and y is not None:
            values.setdefault(x + 1, []).append(y)
    return list(values), [sum(found) / len(found) for found in values.values()]


def _colours(things: Any) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(len(things))]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _square(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
