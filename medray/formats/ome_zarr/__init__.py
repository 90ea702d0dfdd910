"""OME-Zarr: bioimaging's chunked pyramids, read in versions 0.4 and 0.5, written in 0.5."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from blake3 import blake3
from pydantic import Field, field_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source, stamp_of
from medray.formats.files import nothing_found, open_path, place, replacing
from medray.formats.held import look
from medray.formats.imaging.values import (
    as_image,
    as_label,
    check_pattern,
    columns,
    describe,
    subject_of,
)
from medray.formats.naming import Apart
from medray.formats.ome_zarr.find import find_images
from medray.formats.ome_zarr.multiscale import Level, label_names, read_image, read_level
from medray.formats.ome_zarr.pyramid import write_sample
from medray.formats.packed import grouped
from medray.storage.shards.forms.ome import images
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays

GROUP_SAMPLES = 32

__all__ = ["OmeZarr"]


class OmeZarrOptions(FormatOptions):
    """How to read and write OME-Zarr."""

    level: int = Field(0, ge=0, description="resolution to read, 0 the finest")
    labels: Literal["required", "optional", "none"] = "optional"
    label: str | None = Field(
        None, description="name of the label to read, where there are several"
    )
    subject_pattern: str = Field(
        "", description="regular expression whose first group in an image's path is its subject"
    )
    max_bytes: int = Field(8 * 2**30, gt=0, description="refuse larger images")
    array: str = Field("image", description="which array of a sample stands as its image")

    _pattern = field_validator("subject_pattern")(check_pattern)


class OmeZarr(Format):
    """OME-Zarr images, series of bioformats2raw and fields of plates; each image is one sample."""

    name: ClassVar[str] = "ome_zarr"
    Options: ClassVar[type[FormatOptions]] = OmeZarrOptions
    options: OmeZarrOptions

    def arrays(self) -> Arrays:
        """Images, and labels unless they are not wanted."""
        return images(labels=self.options.labels != "none")

    def holds(self) -> Holds:
        """Images, and labels unless they are not wanted."""
        return Holds(named(self.arrays()), columns("affine"))

    def needs(self) -> Needs:
        """Any array, with a spacing."""
        return Needs(columns=names("spacing_mm"), features=True)

    def plan(self, source: Source) -> Found:
        """Images by path, from the groups' documents alone."""
        if not source.root.is_dir():
            nothing_found(source, "OME-Zarr group", "the source is a folder")
        items, refused, apart = [], [], Apart()
        for path in find_images(source.root):
            if not isinstance(path, str):
                refused.append(path)
                continue
            stamps = [source.stamp(below, status) for below, status in look(source, path)]
            mark = ";".join(f"{size}:{mark}" for size, mark, _ in stamps)
            name = path or source.root.name
            try:
                apart.require(_named(name))
            except DataError as error:
                refused.append(Refusal.of(name, error))
                continue
            size = sum(one for one, _, _ in stamps)
            fingerprint = blake3(mark.encode()).hexdigest()[:32]
            items.append(Input(name, (path,), fingerprint, size, {}, stamp_of(stamps)))
        if not items and not refused:
            nothing_found(source, "OME-Zarr group", "a folder with .zattrs or zarr.json")
        return Found(grouped(items, samples=GROUP_SAMPLES), refused)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """One sample: image (C, Z, Y, X) or (C, Y, X) and, where there is one, its label."""
        folder = open_path(source, item.paths[0])
        level = read_level(folder, self.options.level)
        image = as_image(read_image(level, self.options.max_bytes, item.size))
        label = self._label(folder, level, item.size)
        name = _named(item.key)
        row: dict[str, Any] = {
            "subject": subject_of(name, self.options.subject_pattern),
            "has_label": label is not None,
            "spacing_mm": list(level.scale),
            **describe(image, label),
        }
        if level.affine is not None:
            row["affine"] = [float(v) for v in level.affine.reshape(-1)]
        arrays: dict[str, np.ndarray | Slabs] = {"image": image}
        if label is not None:
            arrays["label"] = label
        yield Sample(name.replace("/", "_"), row, arrays)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """All, but of an image and what stands in its place the latter."""
        return names if self.options.array == "image" else names - {"image"}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.ome.zarr` each: the image where it has one, arrays of whole numbers as labels.

        Raises:
            DataError: a sample has no arrays ("no-such-array"), or is no image ("no-spacing").
        """
        for sample in samples:
            whole = {
                name: np.concatenate(list(value.parts), axis=value.axis)
                if isinstance(value, Slabs)
                else value
                for name, value in sample.arrays.items()
            }
            if not whole:
                raise DataError("the sample has no arrays", code="no-such-array", about=sample.id)
            image = whole.pop(self.options.array, None)
            labels = {name: value for name, value in whole.items() if value.dtype.kind in "iu"}
            if not sample.row.get("spacing_mm"):
                raise DataError("the sample has no spacing", code="no-spacing", about=sample.id)
            spacing = [float(v) for v in sample.row["spacing_mm"]]
            path = place(target, sample.id, ".ome.zarr")
            with replacing(path) as temporary:
                write_sample(temporary, image, labels, spacing, sample.row.get("affine"))
            yield path

    def _label(self, folder: Path, level: Level, size: int) -> np.ndarray | None:
        names = label_names(folder) if self.options.labels != "none" else []
        wanted = self.options.label
        if wanted is not None:
            names = [name for name in names if name == wanted]
        if not names:
            if self.options.labels == "required":
                raise DataError("the image has no label", code="no-label")
            return None
        if len(names) > 1:
            raise DataError(
                f"the image has {len(names)} labels",
                code="several-labels",
                hint="name one: `label`",
            )
        found = read_level(folder / "labels" / names[0], self.options.level)
        if found.grid != level.grid:
            raise DataError(
                f"the image's grid is {level.grid}, its label's {found.grid}",
                code="label-grid-mismatch",
            )
        values = read_image(found, self.options.max_bytes, max(size, level.info.nbytes))
        if values.shape[0] != 1:
            raise DataError("the label has channels", code="label-grid-mismatch")
        return as_label(values[0])


def _named(key: str) -> str:
    """The name of a group, by its path."""
    return key.removesuffix(".zarr").removesuffix(".ome").replace(".zarr/", "/")
