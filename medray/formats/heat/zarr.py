"""Maps of slides as OME-Zarr 0.5, which lie over the slide where viewers go by micrometres.

A pixel is a tile. Its scale is the tile's side; the middle of the first tile lies half a tile less
half a pixel of the slide from the middle of the slide's first pixel, which is the translation.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.files import place, replacing
from medray.formats.heat import HEAT, NEEDS, Map, map_of
from medray.storage.shards.array_writer import ArrayWriter
from medray.storage.shards.forms.ome import C, X, Y, axes_told
from medray.storage.shards.holds import Needs
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ArraySpec
from medray.storage.shards.upload import Outbox
from medray.storage.shards.zarr3 import group
from medray.storage.store.objects import Objects


class HeatMap(WriteOnly):
    """`<sample>.ome.zarr` each, float32 (channels, rows, columns), NaN where there is no tissue."""

    name: ClassVar[str] = "heat_map"
    Options: ClassVar[type[FormatOptions]] = FormatOptions
    instead: ClassVar[str] = "images of OME-Zarr are read by `ome_zarr`"

    def needs(self) -> Needs:
        """A map of a slide."""
        return NEEDS

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The map."""
        return names & {HEAT}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """See the class.

        Raises:
            DataError: a sample has no map (code "no-heat").
        """
        for sample in samples:
            path = place(target, sample.id, ".ome.zarr")
            found = map_of(sample)
            with replacing(path) as temporary:
                _write(temporary, found)
            yield path


def _write(folder: Path, found: Map) -> None:
    outbox = Outbox(Objects(str(folder.parent)), folder.name)
    spec = ArraySpec((C, Y, X), form="ome").seen(3, str(found.values.dtype))
    values = np.ascontiguousarray(found.values)
    writer = ArrayWriter(
        outbox,
        "0",
        values.shape,
        values.dtype,
        axis=spec.slab_axis,
        chunk=spec.chunk_of(values.shape),
        axes=spec.names,
    )
    writer.append(values)
    writer.close()
    millimetre = found.mpp / 1000
    shift = (found.side - 1) / 2 * millimetre
    steps = [
        {"type": "scale", "scale": [1.0, *[found.side * millimetre] * 2]},
        {"type": "translation", "translation": [0.0, shift, shift]},
    ]
    level = {"path": "0", "coordinateTransformations": steps}
    multiscale = {"name": "heat", "axes": axes_told(spec), "datasets": [level]}
    shown = [_channel(name, values[at]) for at, name in enumerate(found.channels)]
    told = {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": shown}}
    outbox.put("zarr.json", group({"ome": told}))
    outbox.flush()


def _channel(name: str, values: np.ndarray) -> dict[str, Any]:
    """How viewers show a channel: from 0 to 1, or to what it reaches where that is more."""
    most = max(1.0, float(np.nanmax(values, initial=0.0)))
    window = {"min": 0.0, "max": most, "start": 0.0, "end": most}
    return {"label": name, "color": "FF4500", "window": window, "active": True}
