"""Boxes drawn over images as a format to export to: one PNG per sample."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.files import place, replacing
from medray.formats.imaging.objects import OBJECTS, Object, objects_of
from medray.modalities.image.objects.pages import Frame, draw_boxes
from medray.modalities.image.overlay import COLOURS, encode_png, flips
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample


class BoxOverlayOptions(FormatOptions):
    """How to draw."""

    width: int = Field(512, ge=16, le=8192, description="of the picture, in pixels")
    least_score: float | None = Field(
        None, ge=0, le=1, description="of what is drawn; null: what the model calls"
    )


class BoxOverlay(WriteOnly):
    """Write-only: of a volume, the slice that most boxes lie on. A colour is a class, in the order
    of their names."""

    name: ClassVar[str] = "box_overlay"
    Options: ClassVar[type[FormatOptions]] = BoxOverlayOptions
    options: BoxOverlayOptions

    def needs(self) -> Needs:
        """Image and objects."""
        hint = "`images` names the dataset with the images"
        return Needs((names("image"),), columns=names(OBJECTS), hint=hint)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The image."""
        return names & {"image"}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.png` each.

        Raises:
            DataError: a sample lacks its image (code "no-such-array") or its objects.
        """
        for sample in samples:
            image = sample.arrays.get("image")
            if not isinstance(image, np.ndarray):
                raise DataError(
                    "boxes are drawn over an image",
                    code="no-such-array",
                    about=sample.id,
                    hint="`images` names the dataset with the images",
                )
            wanted = [one for one in objects_of(sample.row) if self._drawn(one)]
            turn = (False, False)
            if image.ndim == 4:
                number = _fullest(wanted, image.shape[1])
                image, turn = image[:, number], flips(sample.row.get("affine"))
                wanted = [one for one in wanted if one.begin[0] <= number + 0.5 <= one.end[0]]
            colour = image.shape[0] == 3 and image.dtype == np.uint8
            kinds = sorted({one["class"] for one in sample.row[OBJECTS]})
            rows, columns = (float(v) for v in (sample.row.get("spacing_mm") or (1.0, 1.0))[-2:])
            pixels = draw_boxes(
                np.moveaxis(image, 0, -1) if colour else image[0],
                [_frame(one, kinds.index(one.kind)) for one in wanted],
                spacing_mm=(rows, columns),
                turn=turn,
                width=self.options.width,
            )
            path = place(target, sample.id, ".png")
            with replacing(path) as temporary:
                temporary.write_bytes(encode_png(pixels))
            yield path

    def _drawn(self, one: Object) -> bool:
        if self.options.least_score is None or one.score is None:
            return one.called is not False
        return one.score >= self.options.least_score


def _frame(one: Object, kind: int) -> Frame:
    edges = (one.begin[-2], one.begin[-1], one.end[-2], one.end[-1])
    return Frame(edges, COLOURS[kind % len(COLOURS)])


def _fullest(wanted: Iterable[Object], depth: int) -> int:
    """The slice that most boxes lie on; the middle one where there are none."""
    counts = np.zeros(depth)
    for one in wanted:
        counts[max(0, int(one.begin[0])) : int(np.ceil(one.end[0]))] += 1
    return int(counts.argmax()) if counts.any() else depth // 2
