"""Maps of slides as files: where their tiles lie, as QuPath and viewers of OME-Zarr count."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from medray.errors import DataError
from medray.formats.heat.geojson import GeoJson
from medray.formats.heat.zarr import HeatMap
from medray.storage.shards.samples import Sample
from tests.contract.slide_examples import heat


def features(target: Path, **options: Any) -> list[dict[str, Any]]:
    form = GeoJson(GeoJson.Options.model_validate(options))
    (path,) = form.write([heat()], target)
    document = json.loads(path.read_text())
    assert document["type"] == "FeatureCollection"
    return document["features"]


def test_each_tile_with_tissue_is_a_polygon_of_the_slide(tmp_path: Path) -> None:
    found = features(tmp_path)
    assert len(found) == 5
    second = found[1]
    assert second["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[100.5, 0], [201, 0], [201, 100.5], [100.5, 100.5], [100.5, 0]]],
    }
    assert second["properties"]["objectType"] == "detection"
    assert second["properties"]["classification"]["name"] == "tumour"
    assert second["properties"]["measurements"] == {"attention": 2, "normal": 0.25, "tumour": 0.75}
    # Tiles end where the slide does: at 290 x 180.
    assert found[2]["geometry"]["coordinates"][0][2] == [290, 100.5]
    assert found[3]["geometry"]["coordinates"][0][2] == [100.5, 180]
    colours = {one["properties"]["classification"]["name"]: tuple(
        one["properties"]["classification"]["color"]) for one in found}  # fmt: skip
    assert len(set(colours.values())) == 2
    assert all(0 <= part <= 255 for one in colours.values() for part in one)


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("objects", ["detection", "annotation"])
def test_the_form_is_what_qupath_reads(tmp_path: Path, objects: str) -> None:
    """Held against the reader of QuPath 0.5 (QuPathTypeAdapters): a map of measurements since 0.4,
    a class with three parts of a colour, a type of object that it knows; RFC 7946 for the rest."""
    (path,) = GeoJson(GeoJson.Options.model_validate({"objects": objects})).write(
        [heat()], tmp_path
    )
    document = json.loads(path.read_text(), parse_constant=no_constant)
    assert set(document) == {"type", "features"}
    for feature in document["features"]:
        assert set(feature) == {"type", "geometry", "properties"}
        assert feature["type"] == "Feature"
        (ring,) = feature["geometry"]["coordinates"]
        assert feature["geometry"]["type"] == "Polygon"
        assert len(ring) == 5
        assert ring[0] == ring[-1]
        xs, ys = zip(*ring, strict=True)
        assert min(xs) >= 0 <= min(ys)
        assert len(set(xs)) == len(set(ys)) == 2
        properties = feature["properties"]
        assert set(properties) == {"objectType", "classification", "measurements"}
        assert properties["objectType"] == objects
        kind = properties["classification"]
        assert set(kind) == {"name", "color"}
        assert isinstance(kind["name"], str)
        assert [type(part) for part in kind["color"]] == [int] * 3
        numbers = properties["measurements"]
        assert list(numbers) == ["attention", "normal", "tumour"]
        assert all(isinstance(value, int | float) for value in numbers.values())


def test_tiles_are_chosen_by_a_channel(tmp_path: Path) -> None:
    found = features(tmp_path, channel="tumour", least=0.5, objects="annotation")
    assert [one["properties"]["measurements"]["tumour"] for one in found] == [0.75, 0.5]
    assert {one["properties"]["objectType"] for one in found} == {"annotation"}
    with pytest.raises(DataError, match="no-such-channel"):
        features(tmp_path, channel="lesion")


def test_a_map_lies_over_its_slide(tmp_path: Path) -> None:
    (path,) = HeatMap(HeatMap.Options()).write([heat()], tmp_path)
    opened = zarr.open_group(path, mode="r")
    told = opened.attrs["ome"]
    (multiscale,) = told["multiscales"]
    assert [(one["name"], one["type"]) for one in multiscale["axes"]] == [
        ("c", "channel"), ("y", "space"), ("x", "space"),
    ]  # fmt: skip
    assert {one.get("unit") for one in multiscale["axes"]} == {None, "millimeter"}
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    # A tile is 100.5 pixels of a quarter micrometre; its middle is 49.75 pixels from the first's.
    assert scale["scale"] == pytest.approx([1, 0.025125, 0.025125])
    assert translation["translation"] == pytest.approx([0, 0.0124375, 0.0124375])
    assert [one["label"] for one in told["omero"]["channels"]] == ["attention", "normal", "tumour"]
    assert [one["window"]["end"] for one in told["omero"]["channels"]] == [2, 1, 1]
    np.testing.assert_array_equal(opened["0"][:], heat().arrays["heat"])


@pytest.mark.parametrize("kind", [GeoJson, HeatMap])
def test_what_has_no_map_is_refused(tmp_path: Path, kind: Any) -> None:
    row = dict(heat().row)
    del row["side"]
    for sample in (Sample("a", heat().row), Sample("a", row, heat().arrays)):
        with pytest.raises(DataError, match="no-heat"):
            list(kind(kind.Options()).write([sample], tmp_path))
    assert not list(tmp_path.iterdir())
