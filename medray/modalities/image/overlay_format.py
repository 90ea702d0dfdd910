"""Overlays as a format to export to: one PNG per sample, its mask drawn over the image."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.files import place, replacing
from medray.modalities.image.explain import MAP
from medray.modalities.image.explain.draw import draw_map
from medray.modalities.image.overlay import best_slice, draw_overlay, encode_png, flips
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample


class OverlayOptions(FormatOptions):
    """How to draw."""

    array: Literal["label", "attribution"] = Field(
        "label", description="what is drawn over the image: a mask, or the first of its maps"
    )
    width: int = Field(512, ge=16, le=8192, description="of the picture, in pixels")


class Overlay(WriteOnly):
    """Write-only: of a volume, the slice where its mask covers most, or its map is highest."""

    name: ClassVar[str] = "overlay"
    Options: ClassVar[type[FormatOptions]] = OverlayOptions
    options: OverlayOptions

    def needs(self) -> Needs:
        """Image, and what is drawn over it."""
        hint = "`images` names the dataset with them"
        return Needs((names("image"), names(self.options.array)), hint=hint)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """Image, and what is drawn over it."""
        return names & {"image", self.options.array}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.png` each.

        Raises:
            DataError: a sample lacks its image or its mask (code "no-such-array").
        """
        for sample in samples:
            image, label = (sample.arrays.get(name) for name in ("image", self.options.array))
            if not isinstance(image, np.ndarray) or not isinstance(label, np.ndarray):
                raise DataError(
                    f"an overlay takes an image and an array {self.options.array!r}",
                    code="no-such-array",
                    about=sample.id,
                    hint="`images` names the dataset with the images",
                )
            path = place(target, sample.id, ".png")
            with replacing(path) as temporary:
                temporary.write_bytes(encode_png(self._drawn(sample.row, image, label)))
            yield path

    def _drawn(self, row: dict[str, Any], image: np.ndarray, over: np.ndarray) -> np.ndarray:
        """One slice, RGB uint8: of a volume where a mask covers most, or a map is highest."""
        mapped = self.options.array == MAP
        turn = (False, False)
        if image.ndim == 4:
            slices = over[0].reshape(over.shape[1], -1).max(1) if mapped else None
            number = best_slice([over]) if slices is None else int(slices.argmax())
            image, over = image[:, number], over[..., number, :, :]
            turn = flips(row.get("affine"))
        colour = image.shape[0] == 3 and image.dtype == np.uint8
        pixels = np.moveaxis(image, 0, -1) if colour else image[0]
        rows, columns = (float(v) for v in (row.get("spacing_mm") or (1.0, 1.0))[-2:])
        how: dict[str, Any] = {"spacing_mm": (rows, columns), "turn": turn}
        how["width"] = self.options.width
        return draw_map(pixels, over[0], **how) if mapped else draw_overlay(pixels, over, **how)
