"""Overlays as a format to export to: one PNG per sample, its mask drawn over the image."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.files import place, replacing
from medray.modalities.image.overlay import best_slice, draw_overlay, encode_png, flips
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample


class OverlayOptions(FormatOptions):
    """How to draw."""

    width: int = Field(512, ge=16, le=8192, description="of the picture, in pixels")


class Overlay(WriteOnly):
    """Write-only: of a volume, the slice where its mask covers most."""

    name: ClassVar[str] = "overlay"
    Options: ClassVar[type[FormatOptions]] = OverlayOptions
    options: OverlayOptions

    def needs(self) -> Needs:
        """Image and mask."""
        return Needs((names("image"), names("label")), hint="`images` names the dataset with them")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """Image and mask."""
        return names & {"image", "label"}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.png` each.

        Raises:
            DataError: a sample lacks its image or its mask (code "no-such-array").
        """
        for sample in samples:
            image, label = sample.arrays.get("image"), sample.arrays.get("label")
            if not isinstance(image, np.ndarray) or not isinstance(label, np.ndarray):
                raise DataError(
                    "an overlay takes an image and a mask",
                    code="no-such-array",
                    about=sample.id,
                    hint="`images` names the dataset with the images",
                )
            turn = (False, False)
            if label.ndim == 3:
                number = best_slice([label])
                image, label = image[:, number], label[number]
                turn = flips(sample.row.get("affine"))
            colour = image.shape[0] == 3 and image.dtype == np.uint8
            rows, columns = (float(v) for v in (sample.row.get("spacing_mm") or (1.0, 1.0))[-2:])
            pixels = draw_overlay(
                np.moveaxis(image, 0, -1) if colour else image[0],
                label,
                spacing_mm=(rows, columns),
                turn=turn,
                width=self.options.width,
            )
            path = place(target, sample.id, ".png")
            with replacing(path) as temporary:
                temporary.write_bytes(encode_png(pixels))
            yield path
