"""Slides with other stains, and slides as pictures of their tiles: from files to a dataset each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.formats.slide.stain import find_stains
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects
from tests.contract.slide_examples import pyramid

SIDE = 64
OWN = np.array([[0.60, 0.70, 0.38], [0.25, 0.90, 0.36]])
OWN /= np.linalg.norm(OWN, axis=1, keepdims=True)
WANTED = [[0.75, 0.60, 0.28], [0.35, 0.80, 0.49]]


def slide(path: Path, seed: int = 0) -> None:
    """Tissue of two stains in all of a slide, a tenth of its pixels with one of them alone."""
    rng = np.random.default_rng(seed)
    held = rng.uniform(0.3, 1.2, (SIDE * SIDE, 2))
    alone = rng.integers(0, 20, SIDE * SIDE)
    held[alone < 2] = rng.uniform(0.95, 1.2, ((alone < 2).sum(), 2))
    held[alone == 0, 1] = held[alone == 1, 0] = 0
    pixels = np.rint(240 * np.exp(-held @ OWN)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    pyramid(path, [pixels.reshape(SIDE, SIDE, 3)], 0.5)


def through(root: Path, objects: Objects, *operations: dict[str, Any]) -> list[Dataset]:
    form = {"name": "slide", "tile": 16, "min_tissue": 0, "saturation": 0}
    form |= {"layout": "folders", "classes": ["a", "b"]}
    steps: list[dict[str, Any]] = [
        {
            "kind": "ingest",
            "format": form,
            "source": str(root),
            "output": "slides",
            "split": {"train": 1},
        }
    ]
    for number, one in enumerate(operations):
        before = steps[-1]["output"]
        steps.append({"kind": "transform", "data": before, "operation": one,
                      "output": f"made-{number}", "policy": {"error_budget": 0.5}})  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    return [open_dataset(objects, step["output"]) for step in steps]


def test_slides_get_the_stains_that_are_asked_for(tmp_path: Path, objects: Objects) -> None:
    slide(tmp_path / "a/x.tif")
    asked = {"name": "stain", "vectors": WANTED, "amounts": [1.0, 0.8]}
    before, after = through(tmp_path, objects, asked)
    (one,), (other,) = list(before), list(after)
    assert other.id == one.id
    tiles = np.asarray(other.arrays["tiles"])
    assert tiles.shape == (16, 3, 16, 16)
    found = find_stains(np.moveaxis(tiles, 1, -1).reshape(-1, 3))
    wanted = np.array(WANTED) / np.linalg.norm(WANTED, axis=1, keepdims=True)
    assert ((found.vectors * wanted).sum(1) > 0.995).all()
    told = np.reshape(other.row["stain_vectors"], (2, 3))
    assert ((told * OWN).sum(1) > 0.998).all()
    np.testing.assert_allclose(other.row["tile_mean"], tiles.mean((0, 2, 3)))
    for name in ("places", "overview", "tissue"):
        np.testing.assert_array_equal(other.arrays[name], one.arrays[name])
    kept = set(one.row) - {"tile_mean", "tile_std"}
    assert {name: other.row[name] for name in kept} == {name: one.row[name] for name in kept}


def test_a_slide_of_one_colour_is_refused_by_itself(tmp_path: Path, objects: Objects) -> None:
    slide(tmp_path / "a/x.tif")
    (tmp_path / "b").mkdir()
    pyramid(tmp_path / "b/y.tif", [np.full((SIDE, SIDE, 3), (120, 60, 90), np.uint8)], 0.5)
    _, after = through(tmp_path, objects, {"name": "stain"})
    assert [one.id for one in after] == ["a_x"]
    refused = after.quarantine().to_pylist()
    assert [(one["source"], one["code"]) for one in refused] == [("b_y", "no-stains")]


def test_tiles_are_pictures_with_their_slides_class(tmp_path: Path, objects: Objects) -> None:
    slide(tmp_path / "a/x.tif")
    slide(tmp_path / "b/y.tif", seed=1)
    before, after = through(tmp_path, objects, {"name": "slide-tiles", "most": 10})
    assert len(after) == 20
    first = after[9]  # of sixteen the last
    assert first.id == "a_x:3:3"
    own = before[0]
    np.testing.assert_array_equal(first.arrays["image"], own.arrays["tiles"][15])
    row = first.row
    assert (row["slide"], row["row"], row["column"], row["x"], row["y"]) == ("a_x", 3, 3, 48, 48)
    assert (row["target"], row["class_name"], row["subject"]) == (0, "a", "a_x")
    assert row["spacing_mm"] == [0.0005, 0.0005]
    assert row["image_mean"] == pytest.approx(first.arrays["image"].mean())
    assert {one.row["target"] for one in after} == {0, 1}
    told = after.quarantine().to_pylist()
    assert [(one["source"], one["code"]) for one in told] == [
        ("a_x", "tiles-left-out"), ("b_y", "tiles-left-out"),
    ]  # fmt: skip


def test_a_network_of_images_learns_from_tiles(tmp_path: Path, objects: Objects) -> None:
    for name in ("a/x", "a/y", "b/z", "b/w"):
        slide(tmp_path / f"{name}.tif", seed=ord(name[-1]))
    _, tiles = through(tmp_path, objects, {"name": "slide-tiles"})
    train = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 4, "threads": 1, "augment": None}
    task = {"name": "classification", "classes": ["a", "b"]}
    run(
        [
            {"kind": "train", "data": "made-0", "model": {"name": "cnn", "features": [2]},
             "output": "net", "train": train, "task": task, "validation": {}},
            {"kind": "predict", "model": "net", "data": "made-0", "output": "answers"},
        ],
        storage=objects,
        cluster="inline",
    )  # fmt: skip
    answers = list(open_dataset(objects, "answers"))
    assert len(answers) == len(tiles) == 64
    assert all(len(one.row["probability"]) == 2 for one in answers)
    assert answers[0].row["slide"] == "a_x"
