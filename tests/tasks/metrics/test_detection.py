"""Matching, average precision and FROC, by hand and by pycocotools."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.detection import (
    CROWD,
    IGNORED,
    OUTSIDE,
    Pool,
    average_precision,
    froc,
    match,
)

ONE = np.ones((1, 1))


def pool(true: int, scores: list[float], hits: list[bool]) -> Pool:
    return Pool.of([true], [scores], [np.array(hits, bool)], [np.zeros(len(hits), bool)])


def test_a_box_takes_the_free_object_that_it_overlaps_most() -> None:
    iou = np.array([[0.6, 0.7], [0.9, 0.8], [0.6, 0.55]])
    found = match(iou, [0, 0], (0.5,))
    assert found.taken.tolist() == [[1, 0, -1]]
    assert found.hits.tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    ("flag", "ignored"),
    [(CROWD, [True, True]), (IGNORED, [True, True]), (OUTSIDE, [True, False])],
)
def test_what_need_not_be_found_says_nothing(flag: int, ignored: list[bool]) -> None:
    found = match(np.array([[0.8], [0.7]]), [flag], (0.5,))
    assert found.true == 0
    assert found.hits.tolist() == [[False, False]]
    assert found.ignored.tolist() == [ignored]


def test_what_must_be_found_goes_first() -> None:
    found = match(np.array([[0.6, 0.9]]), [0, IGNORED], (0.5, 0.7))
    assert found.taken.tolist() == [[0], [1]]
    assert found.hits.tolist() == [[True], [False]]


def test_average_precision_by_hand() -> None:
    # Hits at ranks 1 and 3 of 2 objects: precision 1 up to recall 0.5, then 2/3.
    value = average_precision(pool(2, [0.9, 0.8, 0.7], [True, False, True]), ONE)
    assert value[0] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert average_precision(pool(4, [0.9], [True]), ONE)[0] == pytest.approx(26 / 101)
    assert average_precision(pool(3, [], []), ONE)[0] == 0
    assert np.isnan(average_precision(pool(0, [0.9], [False]), ONE)[0])


def test_free_response_by_hand() -> None:
    # Two images, four objects; alarms an image before each hit: 0, 0.5, 0.5, 1.5.
    scores, hits = (
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
        [True, False, True, True, False, False, True],
    )
    made = Pool.of([2, 2], [scores[:4], scores[4:]], [np.array(hits[:4]), np.array(hits[4:])],
                   [np.zeros(4, bool), np.zeros(3, bool)])  # fmt: skip
    values = froc(made, np.ones((1, 2)))[0]
    assert values.tolist() == [0.25, 0.25, 0.75, 0.75, 1.0, 1.0, 1.0]


def test_boxes_of_one_score_are_called_together() -> None:
    assert froc(pool(1, [0.5, 0.5], [True, False]), ONE)[0].tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_a_resample_is_what_its_images_are() -> None:
    some = Pool.of(
        [1, 1],
        [[0.9, 0.4], [0.8]],
        [np.array([True, False]), np.array([False])],
        [np.zeros(2, bool), np.zeros(1, bool)],
    )
    twice = Pool.of(
        [1, 1], [[0.9, 0.4]] * 2, [np.array([True, False])] * 2, [np.zeros(2, bool)] * 2
    )
    drawn, plain = np.array([[2.0, 0.0]]), np.ones((1, 2))
    assert average_precision(some, drawn) == average_precision(twice, plain)
    assert froc(some, drawn).tolist() == froc(twice, plain).tolist()


def test_all_is_as_pycocotools_has_it() -> None:
    """boxes.json and these values are of pycocotools 2.0.11: COCOeval(…, "bbox") on 12 images with
    58 objects, 7 crowds and 118 boxes; drawn at random, scores of two digits, so that some tie."""
    document = json.loads((Path(__file__).parent / "boxes.json").read_text())
    task = build_task({"name": "detection", "classes": ["one", "two"]})
    rows = []
    for case, (truth, answer) in document.items():
        given = Sample(case, {"objects": [_object(*one) for one in answer]})
        marked = Sample(case, {"objects": [_object(*one) for one in truth]})
        rows += [{"case": case, **row} for row in task.score(marked, given)]
    found = task.conclude(pa.Table.from_pylist(rows), Bootstrap(repeats=0))
    overall = {name: one["value"] for name, one in found["metrics"].items()}
    assert overall["map50"] == pytest.approx(0.4236265522, abs=1e-9)
    assert overall["map50_95"] == pytest.approx(0.1487604744, abs=1e-9)
    by_class = {name: one["map50"]["value"] for name, one in found["classes"].items()}
    assert by_class["one"] == pytest.approx(0.46037410660989125, abs=1e-9)
    assert by_class["two"] == pytest.approx(0.38687899786949703, abs=1e-9)
    sizes = {name: (one["map50"], one["map50_95"]) for name, one in found["sizes"].items()}
    assert sizes["small"] == pytest.approx((0.6188629577243439, 0.25748403256955504), abs=1e-9)
    assert sizes["medium"] == pytest.approx((0.38100221226764713, 0.1293691893425925), abs=1e-9)
    assert sizes["large"] == pytest.approx((0.5, 0.2), abs=1e-9)


def _object(kind: str, x: float, y: float, w: float, h: float, last: float) -> dict[str, object]:
    told = {"class": kind, "begin": [y, x], "end": [y + h, x + w]}
    return told | ({"score": last} if last > 0 else {"crowd": last < 0})
