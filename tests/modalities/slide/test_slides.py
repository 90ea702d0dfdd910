"""Slides from files to answers: learnt, answered in bulk and by requests alike, with maps."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from medray.errors import DataError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_trained
from medray.modalities.media import NPY, npy_of
from medray.modalities.slide import SlideOptions
from medray.modalities.slide.pages import drawn
from medray.modalities.slide.wire import SlideWire
from medray.modalities.wire import Limits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from medray.tasks.section import Picture
from tests.modalities.slide.made import CLASSES, COLUMNS, ROWS, TILE, write

LIMITS = Limits(decoded_bytes=2**20)
FORM = {"name": "slide", "tile": TILE, "layout": "folders", "classes": CLASSES}
MODEL = {
    "name": "attention-pooling",
    "trunk": {"name": "cnn", "features": [6, 12], "convs": 1},
    "width": 12,
    "attention": 8,
    "dropout": 0.0,
}


def ingest(source: Path, output: str, **more: Any) -> dict[str, Any]:
    return {"kind": "ingest", "format": FORM, "source": str(source), "output": output, **more}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[int, int]]]:
    return {}


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, planted: dict[str, set[tuple[int, int]]]
) -> Objects:
    root = tmp_path_factory.mktemp("slides")
    write(root / "learn", 32, seed=1)
    planted.update(write(root / "ask", 32, seed=2))
    objects = Objects(str(root / "store"))
    train = {"epochs": 8, "steps_per_epoch": 12, "batch_size": 8, "threads": 1,
             "optimiser": {"lr": 0.02}}  # fmt: skip
    run(
        [
            ingest(root / "learn", "learn", split={"train": 0.75, "val": 0.25}),
            ingest(root / "ask", "ask"),
            {"kind": "train", "data": "learn", "model": MODEL, "output": "net", "train": train,
             "task": {"name": "classification", "classes": CLASSES}},
            {"kind": "predict", "model": "net", "data": "ask", "output": "answers"},
            {"kind": "evaluate", "predictions": "answers", "data": "ask", "output": "scores"},
        ],
        storage=objects,
        cluster="inline",
    )  # fmt: skip
    return objects


def test_few_tiles_tell_a_slide_where_its_colour_does_not(trained: Objects) -> None:
    summary = open_dataset(trained, "scores").attributes["summary"]
    assert summary["metrics"]["auroc"]["value"] > 0.95
    (beside,) = summary["baselines"].values()
    assert beside["auroc"] < 0.8


def test_maps_show_which_tiles_tell(
    trained: Objects, planted: dict[str, set[tuple[int, int]]]
) -> None:
    hits = list[bool]()
    for sample in open_dataset(trained, "answers"):
        heat = np.asarray(sample.arrays["heat"])
        assert heat.shape == (3, ROWS, COLUMNS)
        assert sample.row["heat_channels"] == ["attention", *CLASSES]
        # 16 pixels of 0.5 micrometres.
        assert sample.row["spacing_mm"] == [0.008, 0.008]
        inner = heat[:, 1:-1, 1:-1]
        assert np.isfinite(inner).all()
        assert np.isnan(heat).sum() == 3 * (ROWS * COLUMNS - 20)
        assert inner[0].mean() == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(inner[1] + inner[2], 1, atol=1e-5)
        striped = planted[sample.id]
        hits += [heat[2][place] > np.median(inner[2]) for place in striped]
        if striped:
            down, across = np.unravel_index(np.nanargmax(heat[2]), (ROWS, COLUMNS))
            hits.append((int(down), int(across)) in striped)
    assert len(hits) == 16 * 5
    assert np.mean(hits) > 0.9


def test_a_page_shows_slides_and_where_a_model_looks(trained: Objects) -> None:
    truth, answers = open_dataset(trained, "ask"), open_dataset(trained, "answers")
    name = truth[1].id
    (made,) = drawn([Picture("worst", "", [(name, "striped"), ("gone", "")])], truth, answers)
    assert [words for words, _ in made.panels] == ["striped", "attention"]
    sizes = [Pillow.open(BytesIO(png)).size for _, png in made.panels]
    assert sizes == [(360, 309), (360, 309)]  # 112 x 96 pixels


def test_requests_are_answered_as_bulk_is(trained: Objects) -> None:
    model = load_trained(trained, "net")
    predictor = model.modality.predictor(model, Asking(SlideOptions(tiles=3)))
    wire = SlideWire(model.plan.model_dump(mode="json"))
    expected = {one.id: one.row["probability"] for one in open_dataset(trained, "answers")}
    for sample in list(open_dataset(trained, "ask"))[:3]:
        body = npy_of(np.asarray(sample.arrays["tiles"]))
        (asked,) = wire.read(body, NPY, LIMITS).samples
        (answer,) = predictor.compute([predictor.prepare(InMemory(asked), 1)])
        assert answer.row["probability"] == pytest.approx(expected[sample.id], abs=1e-5)
        assert not answer.arrays


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 3, 8, 8), "uint8"), ((3, 16, 16), "uint8"), ((2, 3, 16, 16), "int16")]
)
def test_bodies_that_are_no_tiles_are_refused(shape: tuple[int, ...], dtype: str) -> None:
    wire = SlideWire({"tile": 16, "mpp": 0.5, "answers": "sample"})
    with pytest.raises(DataError, match="bad-shape"):
        wire.read(npy_of(np.zeros(shape, dtype)), NPY, LIMITS)
    with pytest.raises(DataError, match="too-large"):
        wire.read(npy_of(np.zeros((2, 3, 16, 16), "uint8")), NPY, Limits(1000))


def test_tiles_of_another_resolution_are_refused(trained: Objects) -> None:
    model = load_trained(trained, "net")
    predictor = model.modality.predictor(model, Asking(SlideOptions()))
    tiles = np.zeros((2, 3, TILE, TILE), np.uint8)
    with pytest.raises(DataError, match="model-mismatch"):
        predictor.prepare(InMemory(Sample("a", {"mpp": 0.25}, {"tiles": tiles})), 1)
    with pytest.raises(DataError, match="model-mismatch"):
        predictor.prepare(InMemory(Sample("a", {}, {"tiles": tiles[:, :, :8, :8]})), 1)
    with pytest.raises(DataError, match="no-tiles"):
        predictor.prepare(InMemory(Sample("a", {"damaged": [0, 1]}, {"tiles": tiles})), 1)


def test_several_networks_answer_by_their_mean(trained: Objects) -> None:
    model = {"name": "attention-pooling", "width": 4, "attention": 3,
             "trunk": {"name": "cnn", "features": [4], "convs": 1}}  # fmt: skip
    train = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 4, "threads": 1}
    task = {"name": "classification", "classes": CLASSES}
    steps = [
        {"kind": "train", "data": "learn", "model": model, "output": "two", "train": train,
         "task": task, "members": 2},
        {"kind": "predict", "model": "two", "data": "ask", "output": "means"},
    ]  # fmt: skip
    run(steps, storage=trained, cluster="inline")
    from medray.modalities.loaded import load_model

    members = load_model(trained, "two").members.values()
    each = [one.modality.predictor(one, Asking(SlideOptions())) for one in members]
    sample, told = open_dataset(trained, "ask")[0], open_dataset(trained, "means")[0]
    own = [next(one.compute([one.prepare(InMemory(sample), 1)])) for one in each]
    mean = np.mean([one.row["probability"] for one in own], 0)
    np.testing.assert_allclose(told.row["probability"], mean, atol=1e-5)
    assert np.abs(np.subtract(*(one.row["probability"] for one in own))).max() > 1e-3
    heat = np.mean([np.asarray(one.arrays["heat"]) for one in own], 0)
    np.testing.assert_allclose(np.asarray(told.arrays["heat"]), heat, atol=1e-4)
