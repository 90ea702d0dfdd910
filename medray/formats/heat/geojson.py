"""Tiles of slides as GeoJSON, which QuPath opens (File, Import objects) over the slide.

One polygon a tile in pixels of the slide's finest level, as QuPath counts them: x to the right, y
down. Each has the class that is likeliest as its classification, and all channels as measurements,
in the form that QuPath 0.4 and later write.
"""

import colorsys
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.files import place, replacing
from medray.formats.heat import HEAT, NEEDS, Map, map_of
from medray.storage.shards.holds import Needs
from medray.storage.shards.samples import Sample

GOLDEN = 0.618034  # turn of the hue from class to class: neighbours differ most


class GeoJsonOptions(FormatOptions):
    """Which tiles, and as what."""

    channel: str | None = Field(
        None, description="a class, or attention: only tiles of which it is `least` or more"
    )
    least: float = Field(0, description="see `channel`")
    objects: Literal["detection", "annotation"] = Field(
        "detection", description="what QuPath makes of tiles; of thousands take detections"
    )


class GeoJson(WriteOnly):
    """`<sample>.geojson` each: a FeatureCollection with a polygon for each tile, by rows."""

    name: ClassVar[str] = "geojson"
    Options: ClassVar[type[FormatOptions]] = GeoJsonOptions
    options: GeoJsonOptions
    instead: ClassVar[str] = "slides are read by `slide`"

    def needs(self) -> Needs:
        """A map of a slide."""
        return NEEDS

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The map."""
        return names & {HEAT}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """See the class.

        Raises:
            DataError: a sample has no map ("no-heat"), or no such channel ("no-such-channel").
        """
        for sample in samples:
            path = place(target, sample.id, ".geojson")
            found = map_of(sample)
            features = self._features(found)
            with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as out:
                out.write('{"type": "FeatureCollection", "features": [')
                for number, feature in enumerate(features):
                    out.write(("," if number else "") + "\n" + json.dumps(feature))
                out.write("\n]}\n")
            yield path

    def _features(self, found: Map) -> Iterator[dict[str, Any]]:
        wanted = self.options.channel
        if wanted is not None and wanted not in found.channels:
            raise DataError(
                f"the map has no channel {wanted!r}",
                code="no-such-channel",
                hint=f"one of {', '.join(found.channels)}",
            )
        chosen = ~np.isnan(found.values[0])
        if wanted is not None:
            chosen &= found.values[found.channels.index(wanted)] >= self.options.least
        return (self._feature(found, row, column) for row, column in np.argwhere(chosen).tolist())

    def _feature(self, found: Map, row: int, column: int) -> dict[str, Any]:
        values = found.values[:, row, column]
        kind = int(values[1:].argmax())
        edges = (column, row, column + 1, row + 1)
        ends = zip(edges, (*found.size, *found.size), strict=True)
        left, top, right, bottom = (_short(min(at * found.side, end)) for at, end in ends)
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        told = zip(found.channels, values.tolist(), strict=True)
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "objectType": self.options.objects,
                "classification": {"name": found.channels[1 + kind], "color": colour(kind)},
                "measurements": {name: float(f"{value:.6g}") for name, value in told},
            },
        }


def colour(number: int) -> list[int]:
    """Red, green and blue of a class, 0 to 255; the first is blue."""
    hue = (2 / 3 + number * GOLDEN) % 1
    return [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, 0.9)]


def _short(value: float) -> float | int:
    """To a hundredth of a pixel."""
    near = round(value, 2)
    return int(near) if near == int(near) else near
