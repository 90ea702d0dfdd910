"""Drawing of signals: leads over time on a grid, with what was noted and answered above them.

Values come as ranges, a low and a high one in each step of time, so that half an hour takes no more
room on a page than eight seconds. What is in millivolts gets the paper of an electrocardiogram:
squares of 0.2 s and 0.5 mV, as long as they can be told apart.
"""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medray.report.drawing import PALETTE

WIDTH, LEFT, RIGHT = 1000, 66, 8  # of the drawing, and beside its axis
ROW, LEAST, MOST = 17, 64, 250  # heights: of a row of marks; of a lead, from … to
SQUARE = (0.2, 0.5)  # of the paper: seconds, millivolts
OUTLIER = 9  # spans of most values, beyond which a value is cut off: an electrode fell
COLOURS = {"wrong": PALETTE[4], "right": PALETTE[2], "plain": PALETTE[5], "beside": PALETTE[0]}
COLOURS["missed"] = COLOURS["wrong"]  # an outline
LEGEND = ("right", "wrong", "missed")  # tones of spans, which are called so
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)

Lead = Mapping[str, Any]
Shapes = Iterator[str]


def trace(
    title: str,
    said: str,
    start_s: float,
    seconds: float,
    leads: Sequence[Lead],
    rows: Sequence[Mapping[str, Any]] = (),
    bands: Sequence[tuple[float, float, str]] = (),
    beside: str = "",
) -> str:
    """A stretch of a recording.

    Args:
        title: of the figure.
        said: what is to be seen, for who does not see it.
        start_s: where the stretch begins, on the axis of time.
        seconds: how long it is.
        leads: each with `name`, `unit` and `lines`; of a line `start_s`, `step_s`, arrays `low` and
            `high` (steps,), NaN where there is nothing, and its `tone`.
        rows: above the leads, each with `name`, `marks` (second, text, tone) and `spans` (start,
            stop, text, tone).
        bands: stretches (start, stop, tone) that are tinted.
        beside: what lines of the tone "beside" are.
    """
    across = (WIDTH - LEFT - RIGHT) / seconds

    def x(second: float) -> float:
        return LEFT + (second - start_s) * across

    def held(second: float) -> float:
        return min(max(x(second), LEFT), WIDTH - RIGHT)

    head = 24.0
    top = head + ROW * len(rows) + (8 if rows else 0)
    shapes: list[str] = [_text(2, 14, title, "start", size=14, bold=True)]
    for at, row in enumerate(rows):
        shapes += _row(row, head + ROW * at, x, held)
    spans = [one for row in rows for one in row.get("spans", ())]
    seen = {one[3] for one in spans if one[0] <= start_s + seconds and one[1] >= start_s}
    shapes += _legend([tone for tone in LEGEND if tone in seen])
    if beside:
        colour = COLOURS["beside"]
        shapes.append(_text(WIDTH - RIGHT, 14, beside, "end", size=11, colour=colour))
    drawn: list[str] = []
    bottom = top
    for lead in leads:
        low, high, height = _extent(lead, across)
        drawn += _lead(lead, bottom, height, (low, high), (start_s, seconds), x)
        bottom += height + 6
    for start, stop, tone in bands:
        left, right = held(start), held(stop)
        shapes.append(
            f'<rect x="{left:.1f}" y="{head:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - head - 6:.1f}" fill="{COLOURS[tone]}" opacity=".13"/>'
        )
    shapes += drawn
    shapes += _times(start_s, seconds, bottom + 8, x)
    label = html.escape(f"{title}. {said}" if said else title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" '
        f'viewBox="0 0 {WIDTH} {bottom + 16:.0f}" font-family="inherit" fill="currentColor">'
        + "".join(shapes)
        + "</svg>"
    )


def _row(row: Mapping[str, Any], top: float, x: Any, held: Any) -> Shapes:
    """Marks and spans beside their row's name."""
    base = top + ROW - 5
    yield _text(LEFT - 6, base, row["name"], "end", size=11, soft=True)
    for start, stop, text, tone in row.get("spans", ()):
        left, right = held(start), held(stop)
        if x(stop) < LEFT or x(start) > WIDTH - RIGHT:
            continue
        wide = max(right - left, 1.0)
        yield (
            f'<rect x="{left:.1f}" y="{top + 2:.1f}" width="{wide:.1f}" height="{ROW - 4}" rx="2" '
            f"{_look(tone)}><title>{html.escape(text)}</title></rect>"
        )
        if wide > 7 * len(text) + 6:
            yield _text((left + right) / 2, base, text, "middle", size=11)
    for at, text, tone in row.get("marks", ()):
        wrong = tone in ("wrong", "missed")
        colour = COLOURS["wrong"] if wrong else ""
        yield _text(x(at), base, text, "middle", size=12, bold=wrong, colour=colour)


def _look(tone: str) -> str:
    """How a span of a tone is filled; of what was missed there is an outline alone."""
    if tone == "missed":
        return f'fill="none" stroke="{COLOURS[tone]}" stroke-width="1.5"'
    return f'fill="{COLOURS[tone]}" opacity="{".85" if tone == "wrong" else ".5"}"'


def _legend(tones: Sequence[str]) -> Shapes:
    """What spans of these tones are, from the right."""
    right = float(WIDTH - RIGHT)
    for tone in reversed(tones):
        yield _text(right, 14, tone, "end", size=11)
        right -= 7 * len(tone) + 14
        yield f'<rect x="{right:.1f}" y="5" width="10" height="10" rx="2" {_look(tone)}/>'
        right -= 14


def _extent(lead: Lead, across: float) -> tuple[float, float, float]:
    """The lowest and highest value that a lead's band shows, and its height."""
    values = np.concatenate([one[end] for one in lead["lines"] for end in ("low", "high")])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0, float(LEAST)
    first, last = (float(one) for one in np.percentile(values, (1, 99)))
    far = OUTLIER * (last - first) or np.inf
    low, high = max(float(values.min()), first - far), min(float(values.max()), last + far)
    room = 0.06 * (high - low) or 0.5
    low, high = low - room, high + room
    if lead["unit"] != "mV":
        return low, high, 1.4 * LEAST
    square = SQUARE[0] * across
    if square < 4:  # no paper any more
        return low, high, 1.4 * LEAST
    low, high = (math.floor(low / SQUARE[1]) * SQUARE[1], math.ceil(high / SQUARE[1]) * SQUARE[1])
    while (high - low) / SQUARE[1] * square < LEAST:
        low, high = low - SQUARE[1] / 2, high + SQUARE[1] / 2
    return low, high, min((high - low) / SQUARE[1] * square, MOST)


def _lead(
    lead: Lead,
    top: float,
    height: float,
    extent: tuple[float, float],
    span: tuple[float, float],
    x: Any,
) -> Shapes:
    low, high = extent
    up = height / (high - low)

    def y(value: Any) -> Any:
        return top + (high - np.clip(value, low, high)) * up

    start, seconds = span
    paper = lead["unit"] == "mV" and x(start + SQUARE[0]) - x(start) >= 4
    if paper:
        columns = _multiples(start, start + seconds, SQUARE[0])
        rows = _multiples(low, high, SQUARE[1])
    else:
        columns, rows = _multiples(start, start + seconds, _step(seconds)), _ticks(low, high)
    lines = [f"M{x(one):.1f},{top:.1f}v{height:.1f}" for one in columns]
    lines += [f"M{LEFT},{y(one):.1f}H{WIDTH - RIGHT}" for one in rows]
    colour = COLOURS["wrong"] if paper else "currentColor"
    yield f'<path d="{"".join(lines)}" stroke="{colour}" stroke-width=".7" opacity=".25"/>'
    for one in lead["lines"]:
        tone = one.get("tone", "")
        stroke = COLOURS[tone] if tone else "currentColor"
        width = "1.2" if tone else "1" if one["low"] is one["high"] else ".6"
        path = "".join(_path(one, x, y))
        yield (
            f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="{width}" '
            'stroke-linejoin="round"/>'
        )
    name = lead["name"] + (f", {lead['unit']}" if lead["unit"] else "")
    yield _text(LEFT + 4, top + 12, name, "start", size=11, bold=True)
    for one in _ticks(low, high):
        yield _text(LEFT - 6, float(y(one)) + 4, f"{one:g}".replace("-", "−"), "end", soft=True)  # noqa: RUF001


def _path(line: Mapping[str, Any], x: Any, y: Any) -> Shapes:
    """A line through the ranges: from one to the next by the ends that are nearest."""
    low, high = np.asarray(line["low"], np.float64), np.asarray(line["high"], np.float64)
    lows, highs = np.round(y(low), 1), np.round(y(high), 1)
    places = x(line["start_s"] + np.arange(len(low)) * line["step_s"])
    pen, last = False, 0.0
    for at, down, up in zip(places.tolist(), lows.tolist(), highs.tolist(), strict=True):
        if down != down:  # NaN: nothing is there
            pen = False
            continue
        first, second = (down, up) if abs(down - last) <= abs(up - last) else (up, down)
        yield f"{'L' if pen else 'M'}{at:.1f},{first:g}"
        if second != first:
            yield f"V{second:g}"
        pen, last = True, second


def _times(start: float, seconds: float, base: float, x: Any) -> Shapes:
    """Names of the places on the axis of time."""
    step = _step(seconds)
    for one in _multiples(start, start + seconds, step):
        if LEFT + 10 <= x(one) <= WIDTH - RIGHT - 14 or one == start:
            yield _text(x(one), base, _clock(one, step), "middle", soft=True)


def _step(seconds: float) -> float:
    return next((one for one in _STEPS if seconds / one <= 12), seconds / 10)


def _clock(second: float, step: float) -> str:
    """Seconds, and where these are many minutes or hours."""
    if step < 60:
        return f"{second:g} s".replace("-", "−")  # noqa: RUF001
    minutes = round(second / 60)
    return f"{minutes} min" if step < 3600 else f"{minutes // 60} h {minutes % 60:02d}"


def _multiples(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(one * step, 6) for one in range(first, last + 1)]


def _ticks(low: float, high: float) -> list[float]:
    """Two to five round values."""
    wide = high - low
    size = 10.0 ** math.floor(math.log10(wide))
    for share in (0.2, 0.5, 1, 2, 5):
        found = _multiples(low, high, share * size)
        if len(found) <= 5:
            return found
    return []


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str,
    *,
    size: int = 10,
    bold: bool = False,
    soft: bool = False,
    colour: str = "",
) -> str:
    more = ' font-weight="bold"' if bold else ""
    more += ' opacity=".65"' if soft else ""
    more += f' fill="{colour}"' if colour else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{more}>'
        f"{html.escape(text)}</text>"
    )
