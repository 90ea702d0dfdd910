"""Drawing: axes that become a small SVG in the page's text colour, so that it follows its theme."""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = ("#3b82c4", "#e08a1e", "#2a9d6f", "#b05cc6", "#d1495b", "#7a7f87")

# Matplotlib can't write `currentColor`; this colour is nobody's and is replaced in the SVG.
INK = "#010203"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "medray",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@contextmanager
def drawing(title: str, height: float = 3.1) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw into, and a list that holds the SVG once the block has ended.

    Args:
        title: of the figure.
        height: of it, in inches; it is 5.2 wide.
    """
    result: list[str] = []
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title)
        yield axes, result
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    result.append(_inline(buffer.getvalue(), title))


def legend(axes: Axes, **place: Any) -> None:
    """Say what is drawn, where something is: of classes that nobody has there are no curves.

    Args:
        axes: that it is drawn into.
        place: as of matplotlib's.
    """
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**place)


def _inline(svg: str, title: str) -> str:
    """The <svg> element alone: scaled by the page, in its colour and font, with its own ids."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = body.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)
    body = body.replace(INK, "currentColor")
    body = re.sub(r"font: (bold )?([\d.]+px)[^;\"]*", r"font: \1\2 inherit", body)
    # Several figures share one page: drop the ids that nothing refers to.
    used = set(re.findall(r"(?:#)([\w-]+)", body))
    return re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", body)
