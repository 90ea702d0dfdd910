"""Volumes on a page: what stands in it, and what a browser makes of it."""

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medray.report.agreement import limits
from medray.report.content import Report
from medray.report.page import render
from medray.report.volumes import fingerprint, middle, packed, script, told
from medray.tasks.section import Section, Volume
from tests.report.browser import Browser

SHAPE = (6, 8, 10)


def volume(**changed: object) -> Volume:
    """Values tell where they are: 100 z + 10 y + x; a mask of one voxel, one of a row."""
    z, y, x = np.indices(SHAPE)
    truth, prediction = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    truth[4, 2, 7] = 1
    prediction[4, 2, 5:8] = 2
    made = Volume(
        title="best",
        caption="said",
        case="c-1",
        values=(100 * z + 10 * y + x).astype(np.uint16),
        slope=2.0,
        intercept=-1000.0,
        masks={"truth": truth, "prediction": prediction},
        sizes_mm=(5.0, 1.0, 1.0),
        lettered=True,
        window=(-600.0, 1000.0),
        legend=[("a", (255, 0, 0)), ("b", (0, 0, 255))],
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def page(*volumes: Volume) -> str:
    return render(Report("t", "r", "now", [], sections=[Section("s", volumes=volumes)]))


def test_voxels_are_packed_and_come_back() -> None:
    made = volume()
    raw = zlib.decompress(base64.b64decode(packed(made)))
    count = int(np.prod(SHAPE))
    low, high, *masks = (np.frombuffer(raw, np.uint8)[at * count :][:count] for at in range(4))
    assert np.array_equal((low + 256 * high.astype(int)).reshape(SHAPE), made.values)
    for mask, wanted in zip(masks, made.masks.values(), strict=True):
        assert np.array_equal(mask.reshape(SHAPE), wanted)
    document = json.loads(told(made))
    assert document["shape"] == list(SHAPE)
    assert document["colours"] == [[255, 0, 0], [0, 0, 255]]
    assert middle(made) == [4, 2, 7]  # both masks are there
    assert middle(replace(made, masks={})) == [3, 4, 5]


def test_only_the_pages_own_script_may_run() -> None:
    with_one = page(volume(case='"><script>alert(1)</script>'))
    assert with_one.count("<script") == 1
    assert f"script-src '{fingerprint()}'" in with_one
    (text,) = re.findall(r"<script>(.*?)</script>", with_one, re.DOTALL)
    assert text == script()
    assert "</script" not in text
    assert not re.search(r"https?:|fetch\(|import\(|eval\(|innerHTML", text)
    without = page()
    assert "<script" not in without
    assert "script-src" not in without


def test_limits_of_agreement() -> None:
    bias, room = limits([1.0, 2.0, 3.0])
    assert (bias, room) == (2.0, pytest.approx(1.96))  # their standard deviation is 1
    assert limits([4.0]) == (4.0, None)


GREY = "[...figure.querySelector('canvas').getContext('2d').getImageData({x}, {y}, 1, 1).data]"


@pytest.mark.needs("chromium")
def test_a_browser_leafs_through_three_planes(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(volume(), volume(case="c-2", lettered=False)))
    with Browser(path) as browser:
        browser.until("document.querySelectorAll('.viewer[data-ready]').length === 2")
        ready = "[...document.querySelectorAll('.viewer')].map(v => v.dataset.ready)"
        assert browser.ask(ready) == ["yes", "yes"]

        def pixel(plane: str, x: int, y: int) -> list[int]:
            figure = f"const figure = document.querySelector('[data-plane={plane}]');"
            found = browser.ask(f"(() => {{ {figure} return {GREY.format(x=x, y=y)}; }})()")
            return [int(one) for one in found]

        def put(where: str, value: object, what: str = "value") -> None:
            browser.ask(
                f"(() => {{ const one = document.querySelector('{where}'); "
                f"one.{what} = {json.dumps(value)}; one.dispatchEvent(new Event('input')); }})()"
            )

        def grey(z: int, y: int, x: int) -> int:
            value = 2.0 * (100 * z + 10 * y + x) - 1000.0
            return round(255 * min(1, max(0, (value + 1100) / 1000)))

        def letters(viewer: int) -> list[list[str]]:
            return browser.ask(
                f"[...document.querySelectorAll('.viewer')[{viewer}].querySelectorAll('.plane')]"
                ".map(p => [...p.querySelectorAll('.side')].map(s => s.textContent.trim()))"
            )

        # It begins where masks cover most: axial 4, coronal 2, sagittal 7. Heads are up.
        assert pixel("axial", 3, 6) == [grey(4, 6, 3)] * 3 + [255]
        assert pixel("coronal", 3, 0) == [grey(5, 2, 3)] * 3 + [255]
        assert pixel("sagittal", 6, 5) == [grey(0, 6, 7)] * 3 + [255]
        assert letters(0) == [list("RLAP"), list("RLSI"), list("APSI")]
        assert letters(1) == [[""] * 4] * 3
        # The truth is drawn, the prediction once it is asked for.
        assert pixel("axial", 5, 2) == [grey(4, 2, 5)] * 3 + [255]
        red = pixel("axial", 7, 2)
        assert red[0] > red[1] == red[2]
        put("[data-set=mask-1]", value=True, what="checked")
        blue = pixel("axial", 5, 2)
        assert blue[2] > blue[0] == blue[1]
        put("[data-set=mask-0]", value=False, what="checked")
        put("[data-set=mask-1]", value=False, what="checked")
        assert pixel("axial", 7, 2) == [grey(4, 2, 7)] * 3 + [255]
        # Slices, level and width.
        put("[data-plane=axial] input", 0)
        assert pixel("axial", 3, 6) == [grey(0, 6, 3)] * 3 + [255]
        shown = browser.ask("document.querySelector('[data-plane=axial] output').textContent")
        assert shown == "1 / 6"
        put("[data-set=level]", -1000)
        put("[data-set=width]", 400)
        value = 2.0 * 63 - 1000.0
        assert abs(pixel("axial", 3, 6)[0] - round(255 * (value + 1200) / 400)) <= 2
        assert browser.requests() == [path.as_uri()]
