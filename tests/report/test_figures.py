import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from medray.report import curves, drawing, figures
from medray.report.curves import training_curves
from medray.report.figures import draw


def history(epochs: int, steps: int) -> list[dict]:
    return [
        {
            "epoch": s // steps,
            "step": s,
            "loss": float(s % steps),
            "lr": 0.1,
            "val_dice": 0.5 if s % steps == steps - 1 else None,
        }
        for s in range(epochs * steps)
    ]


def test_losses_are_averaged_over_epochs() -> None:
    assert curves._line(history(5, 3), "epoch", "loss") == ([1, 2, 3, 4, 5], [1.0] * 5)
    assert curves._line(history(2, 2), "step", "loss") == ([1, 2, 3, 4], [0.0, 1.0, 0.0, 1.0])
    assert curves._line(history(2, 2), "epoch", "val_dice") == ([1, 2], [0.5, 0.5])


def test_curves_have_an_axis_that_fits_their_length() -> None:
    long, short = training_curves(history(5, 3), {}), training_curves(history(1, 6), {})
    assert [one.title for one in long] == ["Loss", "Validation"]
    assert ">epoch<" in draw(long[0])
    assert ">step<" in draw(short[0])
    assert training_curves([], {}) == []
    assert len(training_curves([{"step": 0, "loss": 1.0}], {})) == 1


def test_curves_say_which_way_is_better() -> None:
    rows = [{"epoch": 0, "g": 1.0, "lr": 0.1, "val_loss": 1.0, "val_error": 2.0, "val_x": 3.0}]
    loss, validation = training_curves(rows, {"val_error": True, "val_loss": False})
    assert list(loss.data["lines"]) == ["g"]  # whatever it is called
    assert list(validation.data["lines"]) == ["val loss ↓", "val error ↑", "val x"]
    assert "val error ↑" in draw(validation)


@pytest.mark.parametrize(
    "svg",
    [
        draw(training_curves(history(5, 3), {})[0]),
        figures.strip("Dice", "Dice", {"a": [0.1, 0.9], "b": []}),
        figures.roc("ROC", {"a": ([0, 0.5, 1], [0, 0.8, 1])}),
        figures.roc("ROC", {}),  # of a class that nobody has, or that all have
        figures.reliability("<b>", {"a": {"confidence": [0.1], "frequency": [0.2], "cases": [4]}}),
        figures.reliability("none", {}),
    ],
)
def test_svgs_are_whole_and_take_the_colour_of_the_page(svg: str) -> None:
    root = ET.fromstring(svg)
    assert root.get("width") is None
    assert root.get("viewBox")
    assert "currentColor" in svg
    assert drawing.INK not in svg
    assert "<metadata" not in svg
    ids = re.findall(r' id="([^"]+)"', svg)
    assert all(f"#{name}" in svg for name in ids)


def test_the_same_values_give_the_same_bytes() -> None:
    values = {"a": [0.2, 0.4, 0.4], "b": [0.9]}
    assert figures.strip("t", "x", values) == figures.strip("t", "x", values)


def test_a_class_name_cannot_leave_its_text() -> None:
    svg = figures.strip("t", "x", {"<script>alert(1)</script>": [0.5]})
    assert "<script" not in svg
    svg = figures.roc("ROC", {"a</text><script>": ([0, 1], [0, 1])})
    assert "<script" not in svg


def test_an_outlier_does_not_hide_a_shift() -> None:
    reference = np.linspace(0, 10, 40)
    told = "outermost bars hold what lies beyond"
    for values in (reference, reference + 100):  # a shift is none: it is drawn where it is
        assert told not in curves.shift("t", reference, values)
    far = np.append(reference, 1e6)
    svg = curves.shift("t", far, reference + 3)
    assert told in svg
    assert "1000000" not in svg
    low, high = curves._fences(far)  # the quartiles are 2.6 and 7.7
    assert (low, high) == (0.0, pytest.approx(23.08, abs=0.01))
