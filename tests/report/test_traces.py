"""Drawings of signals: their paper, ranges, holes, marks, and what is said of them."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from medray.report import traces
from medray.report.figures import draw
from medray.report.traces import COLOURS, trace
from medray.tasks.section import Figure

EVIL = '"><script>alert(1)</script>'


def lead(values: np.ndarray, rate: float = 100.0, unit: str = "mV", **more: Any) -> dict[str, Any]:
    line = {"start_s": 0.0, "step_s": 1 / rate, "low": values, "high": values, **more}
    return {"name": "II", "unit": unit, "lines": [line]}


def paths(svg: str) -> list[str]:
    return [found.get("d", "") for found in ET.fromstring(svg).iter() if found.tag.endswith("path")]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+),([\d.]+)", path)]


def test_the_paper_is_square_and_half_a_millivolt_high() -> None:
    values = np.zeros(800)
    values[400] = 1.0
    svg = trace("t", "", 0.0, 8.0, [lead(values)])
    grid, line = paths(svg)
    columns = [float(x) for x in re.findall(r"M([\d.]+),[\d.]+v", grid)]
    rows = [float(y) for y in re.findall(r"M66,([\d.]+)H", grid)]
    assert len(columns) == 41
    square = columns[1] - columns[0]
    assert np.diff(rows) == pytest.approx(-square, abs=0.15)
    drawn = points(line)
    assert drawn[0][1] - drawn[400][1] == pytest.approx(2 * square, abs=0.3)
    assert drawn[400][0] == pytest.approx(columns[20], abs=0.1)  # at four seconds


def test_other_units_and_long_strips_have_no_paper() -> None:
    values = np.sin(np.arange(800) / 50)
    short, volts, long = (
        trace("t", "", 0.0, seconds, [lead(values, 800 / seconds, unit)])
        for seconds, unit in ((8.0, "mV"), (8.0, "uV"), (1800.0, "mV"))
    )
    assert COLOURS["wrong"] in short
    assert COLOURS["wrong"] not in volts
    assert COLOURS["wrong"] not in long
    assert ">5 min<" in long
    assert ">II, uV<" in volts


def test_ranges_reach_from_low_to_high_and_holes_stay() -> None:
    low, high = np.array([0.0, -1.0, np.nan, 0.0]), np.array([0.0, 1.0, np.nan, 0.5])
    svg = trace("t", "", 0.0, 4.0, [lead(low, 1.0, "", high=high)])
    path = paths(svg)[-1]
    assert path.count("M") == 2  # the pen is lifted over the hole
    assert path.count("V") == 2
    flat = trace("t", "", 0.0, 4.0, [lead(np.full(4, np.nan), 1.0)])
    assert paths(flat)[-1] == ""


def test_marks_say_what_is_wrong_not_by_colour_alone() -> None:
    rows = [
        {"name": "truth", "marks": [(1.0, "V", "plain")]},
        {"name": "answer", "marks": [(1.0, "N", "wrong")], "spans": [(2.0, 99.0, "AFIB", "right")]},
        {"name": "other", "spans": [(-9.0, -1.0, "AFIB", "right"), (9.0, 99.0, "VT", "wrong")]},
    ]
    band = [(0.7, 1.3, "wrong")]
    root = ET.fromstring(trace("t", "", 0.0, 8.0, [lead(np.zeros(800))], rows, band, "median"))
    texts = {one.text: one for one in root.iter() if one.tag.endswith("text")}
    assert texts["V"].get("font-weight") is None
    assert texts["N"].get("font-weight") == "bold"
    assert texts["N"].get("fill") == COLOURS["wrong"]
    assert texts["N"].get("x") == texts["V"].get("x")
    assert {"t", "truth", "answer", "AFIB", "median", "II, mV"} <= texts.keys()
    legend, tint, span = sorted(
        (one for one in root.iter() if one.tag.endswith("rect")),
        key=lambda one: float(one.get("y", "")),
    )
    assert legend.get("fill") == span.get("fill") == COLOURS["right"]
    assert "right" in texts
    assert not {"wrong", "missed"} & texts.keys()
    right = float(span.get("x", "")) + float(span.get("width", ""))
    assert right == pytest.approx(traces.WIDTH - traces.RIGHT)  # what goes on beyond is cut
    assert tint.get("fill") == COLOURS["wrong"]


def test_it_is_read_out_and_nothing_leaves_its_text() -> None:
    rows = [{"name": EVIL, "marks": [(1.0, EVIL, "wrong")], "spans": [(0.0, 1.0, EVIL, "plain")]}]
    data = {"said": EVIL, "start_s": 0.0, "seconds": 8.0, "leads": [lead(np.zeros(800))]}
    svg = draw(Figure("trace", EVIL, {**data, "rows": rows}))
    assert "<script" not in svg
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == f"{EVIL}. {EVIL}"
    assert root.get("width") is None
    assert "currentColor" in svg


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-0.6, 1.1, [-0.5, 0.0, 0.5, 1.0]),
        (0.0, 250.0, [0.0, 50.0, 100.0, 150.0, 200.0, 250.0][::1]),
        (0.101, 0.104, [0.101, 0.102, 0.103, 0.104]),
    ],
)
def test_axes_have_round_values(low: float, high: float, ticks: list[float]) -> None:
    found = traces._ticks(low, high)
    assert 2 <= len(found) <= 5
    assert set(np.round(found, 6)) <= set(np.round(np.arange(-10, 300) * (found[1] - found[0]), 6))
    assert low <= found[0]
    assert found[-1] <= high
