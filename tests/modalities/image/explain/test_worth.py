"""A map that shows nothing is called so, in the version's attributes and on the page."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medray.modalities.image import ImageOptions, Images
from medray.modalities.image.explain.checks import COUNT, columns
from medray.modalities.image.explain.draw import draw_map
from medray.modalities.image.explain.worth import concluded
from medray.report.content import Report
from medray.report.page import render
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample

Make = Callable[[str, list[Sample]], Dataset]


def predictions(make: Make, fidelity: float, rank: float, name: str = "found") -> Dataset:
    """Of maps whose insertion is so much above .5, as deletion is below; others are at .5."""
    samples = []
    for at in range(6):
        numbers = np.full(COUNT, 0.5)
        numbers[:2] = 0.5 + fidelity, 0.5 - fidelity + 0.01 * at
        numbers[-8:-4] = 0.9, 0.8, 0.7, -rank  # a correlation's sign is left out
        row: dict[str, Any] = {"explained": ["yes"], "peak": [2, at], "probability": [0.2, 0.8]}
        row |= {"pointing": at < 4 if at else None} | columns(numbers)
        samples.append(Sample(f"s{at}", row, {"attribution": np.eye(8, dtype=np.float32)[None]}))
    return make(name, samples)


def images(make: Make) -> Dataset:
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    return make("images", [Sample(f"s{at}", {}, {"image": pixels}) for at in range(6)])


def test_maps_that_show_something_have_no_verdict_against_them(make_dataset: Make) -> None:
    made = concluded("grad-cam", predictions(make_dataset, 0.2, 0.1).shards)["explanations"]
    assert made["verdict"] == []
    assert (made["samples"], made["checked"]) == (6, 6)
    assert made["pointing"] == {"samples": 5, "inside": 3}
    assert made["insertion"] == pytest.approx(0.7)
    assert made["deletion"] == pytest.approx(0.325)
    assert made["randomised_rank"] == pytest.approx([0.9, 0.8, 0.7, 0.1])
    mean, low, high = made["beats"]["random"]
    differences = 0.4 - 0.01 * np.arange(6)
    assert mean == pytest.approx(differences.mean())
    room = 1.96 * differences.std(ddof=1) / 6**0.5
    assert (low, high) == pytest.approx((mean - room, mean + room))


@pytest.mark.parametrize(
    ("fidelity", "rank", "said"),
    [(0.2, 0.9, ["do not change"]), (0.0, 0.1, ["random patches", "in the middle"])],
)
def test_a_map_that_shows_nothing_is_called_so(
    make_dataset: Make, fidelity: float, rank: float, said: list[str]
) -> None:
    found = predictions(make_dataset, fidelity, rank)
    options = ImageOptions(outputs="occlusion", checks=True)
    attributes = Images().conclude(options, [*found.shards, None])
    assert len(attributes["explanations"]["verdict"]) == len(said)
    manifest = replace(found.manifest, attributes=attributes)
    data = images(make_dataset)
    (section,) = Images().sections(Dataset(data.objects, manifest), data)
    for one, words in zip(section.cautions, said, strict=True):
        assert words in one
    assert [tile.value for tile in section.tiles] == [6, 0.6]
    (picture,) = section.pictures
    assert len(picture.panels) == 12
    page = render(Report("t", "r", "now", [], sections=[section]))
    assert all(words in page for words in said)
    assert "not to be believed" in page


def test_plain_predictions_have_no_section(make_dataset: Make) -> None:
    assert Images().conclude(ImageOptions(), []) == {}
    data = images(make_dataset)
    assert Images().sections(data, data) == []


def test_the_brighter_the_more_speaks_for_the_answer() -> None:
    values = np.array([[-1.0, 0.0], [0.5, 1.0]], np.float32)
    drawn = draw_map(np.full((2, 2), 7, np.uint8), values, width=200).astype(int)
    corners = [drawn[at][of].sum() for at in (10, -10) for of in (10, -10)]
    assert corners[0] == corners[1]  # what speaks against it is not shown
    assert corners[1] < corners[2] < corners[3]
