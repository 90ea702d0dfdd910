"""Scores by what images were made with, and what a page shows of those ingested."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from medray.modalities.image import Images
from medray.report.content import Report
from medray.report.page import render
from medray.steps.base.step import named
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.section import ScoredCases

Make = Callable[[str, list[Sample]], Dataset]
TASK = build_task({"name": "segmentation", "classes": ["none", "a"]})


def data(make: Make) -> Dataset:
    """Six volumes of two makers, one of which does not say; slices of 1 and 5 mm."""
    rng = np.random.default_rng(0)
    samples = []
    for at in range(6):
        row = {
            "modality": "CT" if at else "MR",
            "manufacturer": ["siemens", "ge", ""][at % 3],
            "spacing_mm": [1.0 if at < 4 else 5.0, 0.7, 0.7],
            "kernel": "B30f",
        }
        image = rng.integers(0, 99, (1, 4 + at, 10, 20)).astype(np.int16)
        samples.append(Sample(f"c{at}", row, {"image": image}))
    return make("ct", samples)


def test_scores_are_told_by_scanner_and_spacing(make_dataset: Make) -> None:
    cases = [
        {"case": f"c{at}", "class": "a", "status": "scored", "dice": at / 10, "hd95_mm": None}
        for at in range(6)
    ]
    scanner, spacing = Images().grouped(TASK, ScoredCases("s", {}, cases), data(make_dataset))
    assert (scanner.title, spacing.title) == ("By scanner", "By spacing")
    assert list(scanner.rows) == [
        {"group": "ge", "cases": 2, "dice": pytest.approx(0.25)},
        {"group": "siemens", "cases": 2, "dice": pytest.approx(0.15)},
        {"group": "not known", "cases": 2, "dice": pytest.approx(0.35)},
    ]
    assert list(spacing.rows) == [
        {"group": "0.5 to 1 mm", "cases": 4, "dice": pytest.approx(0.15)},
        {"group": "3 to 5 mm", "cases": 2, "dice": pytest.approx(0.45)},
    ]  # and none by kernel, of which there is one


def test_ingested_images_are_shown(make_dataset: Make) -> None:
    dataset = data(make_dataset)
    (section,) = named("ingest").sections(dataset)
    assert section.tiles[0].value == 6
    (modalities,) = section.tables
    assert list(modalities.rows) == [
        {"modality": "CT", "count": 5},
        {"modality": "MR", "count": 1},
    ]
    titles = [figure.title for figure in section.figures]
    assert titles == ["Spacing", "Size"]  # in the plane they are all alike
    assert sum(section.figures[0].data["counts"]) == 6
    (picture,) = section.pictures
    assert [name for name, _ in picture.panels] == [f"c{at}" for at in range(6)]
    assert Image.open(io.BytesIO(picture.panels[0][1])).size == (160, 80)
    page = render(Report("t", "r", "now", [], sections=[section]))
    assert page.count("data:image/png") == 6


def test_what_holds_no_images_has_no_such_section(make_dataset: Make) -> None:
    assert named("ingest").sections(make_dataset("rows", [Sample("a", {"x": 1})])) == []
    colour = np.zeros((3, 8, 8), np.uint8)
    (section,) = named("ingest").sections(make_dataset("p", [Sample("a", {}, {"image": colour})]))
    assert (len(section.pictures[0].panels), list(section.figures)) == (1, [])
