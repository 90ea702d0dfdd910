"""Tracks over sequences as a format to export to: one PNG per sample."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.bed import TRACKS
from medray.formats.files import place, replacing
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample

COLOURS = {"A": "#2a9d4e", "C": "#2f6fd0", "G": "#d99000", "T": "#c8372d"}


class TrackPlotOptions(FormatOptions):
    """How to draw."""

    width: int = Field(1200, ge=200, le=8192, description="of the picture, in pixels")


class TrackPlot(WriteOnly):
    """Write-only: a line for each of a sample's tracks, along its bases."""

    name: ClassVar[str] = "track_plot"
    Options: ClassVar[type[FormatOptions]] = TrackPlotOptions
    options: TrackPlotOptions

    def needs(self) -> Needs:
        """A track."""
        return Needs((names(TRACKS),))

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The tracks, or probabilities of each base."""
        return names & set(TRACKS)

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.png` each.

        Raises:
            DataError: a sample has no track (code "no-such-array").
        """
        for sample in samples:
            track = next((sample.arrays[one] for one in TRACKS if one in sample.arrays), None)
            if not isinstance(track, np.ndarray):
                raise DataError("a plot takes a track", code="no-such-array", about=sample.id)
            path = place(target, sample.id, ".png")
            with replacing(path) as temporary:
                temporary.write_bytes(self._draw(sample, np.atleast_2d(track)))
            yield path

    def _draw(self, sample: Sample, track: np.ndarray) -> bytes:
        figure = Figure(figsize=(self.options.width / 100, 3), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        names = sample.row.get("names") or [f"track {number}" for number in range(len(track))]
        bins = int(sample.row.get("bin_bases") or 1)
        at = int(sample.row.get("offset") or 0) + bins * np.arange(track.shape[1])
        for name, values in zip(names, track, strict=True):
            axes.plot(at, values, linewidth=1, label=name, color=COLOURS.get(name))
        axes.axhline(0, color="black", linewidth=0.5)
        axes.set_xlabel(f"{sample.row.get('contig') or sample.id}, bases")
        axes.margins(x=0)
        if len(track) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", metadata={"Software": None})
        return picture.getvalue()
