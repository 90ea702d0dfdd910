"""NIfTI: volumes with their affine, in plain folders or as the Decathlon and nnU-Net lay them out.

Never carried over from a file: descrip, aux_file, db_name, intent_name and extensions, all of which
can hold a patient's name.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import open_path, place, replacing
from medray.formats.imaging.objects import CLIPPED, OBJECTS
from medray.formats.imaging.values import (
    as_image,
    as_label,
    check_pattern,
    columns,
    describe,
    same_grid,
    spacing_of,
    subject_of,
)
from medray.formats.imaging.volume_boxes import VolumeBoxes
from medray.formats.nifti.boxes import boxed
from medray.formats.nifti.layouts import Labels, Layout, plan_cases
from medray.formats.nifti.volume import (
    DEFLATE_LIMIT,
    Header,
    check_size,
    encode,
    read_header,
    read_values,
)
from medray.formats.packed import grouped
from medray.storage.shards.forms.ome import images
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays, space_axes

GROUP_SAMPLES = 64

__all__ = ["Nifti"]


class NiftiOptions(FormatOptions):
    """How to read and write NIfTI."""

    layout: Layout = "plain"
    images: tuple[str, ...] = Field(
        (), description="folders of images below the source; empty: all but those of labels"
    )
    masks: str | None = Field(
        None, description="folder of labels; None: labels (plain) or labelsTr (msd, nnunet)"
    )
    labels: Labels | None = Field(
        None, description="None: required where the source has labels at all"
    )
    boxes: VolumeBoxes | None = Field(
        None, description="boxes of a table, in place of masks; `labels` then says so of them"
    )
    label_values: tuple[int, ...] | None = Field(
        None, description="values that may occur; None: those that dataset.json names, else any"
    )
    fourth_axis: Literal["refuse", "channels"] = Field(
        "refuse", description="4-D files: refused, or the fourth axis as channels"
    )
    subject_pattern: str = Field(
        "", description="regular expression whose first group in a case's name is its subject"
    )
    max_bytes: int = Field(8 * 2**30, gt=0, description="refuse larger volumes")
    array: str = Field("label", description="which array of a sample `write` takes")

    _pattern = field_validator("subject_pattern")(check_pattern)


class Nifti(Format):
    """NIfTI-1 and NIfTI-2, .nii and .nii.gz, either byte order; one sample per case."""

    name: ClassVar[str] = "nifti"
    Options: ClassVar[type[FormatOptions]] = NiftiOptions
    libraries: ClassVar[tuple[str, ...]] = ("nibabel",)
    options: NiftiOptions

    def arrays(self) -> Arrays:
        """Images, and labels unless they are not wanted."""
        masks = self.options.labels != "none" and self.options.boxes is None
        return images(labels=masks, axes=3)

    def holds(self) -> Holds:
        """Volumes, and labels or boxes unless they are not wanted."""
        told = columns("affine", *((OBJECTS, CLIPPED) if self.options.boxes else ()))
        return Holds(named(self.arrays()), told, axes=space_axes(self.arrays()))

    def needs(self) -> Needs:
        """The array, on a grid."""
        hint = "`array` names it; of pictures `image` takes masks, and `ome_zarr` any array"
        return Needs((names(self.options.array),), names("affine"), hint=hint)

    def plan(self, source: Source) -> Found:
        """Cases by name, from the listing, dataset.json and the table of boxes alone."""
        options, boxes = self.options, self.options.boxes
        labels: Labels | None = "none" if boxes else options.labels
        own = (boxes.annotations,) if boxes else ()
        cases, refused, document = plan_cases(
            source, options.layout, options.images, options.masks, labels, own
        )
        if boxes is not None:
            told = boxes.named(source, "file")
            cases = boxed(cases, told, refused, required=options.labels != "optional")
        attributes = {"labels": document.labels} if document.labels else {}
        return Found(grouped(cases, samples=GROUP_SAMPLES), refused, attributes)

    def named(self) -> list[tuple[str, str]]:
        """Folders of images and of labels."""
        options = self.options
        masks = [("masks", options.masks)] if options.masks else []
        boxes = [("boxes.annotations", options.boxes.annotations)] if options.boxes else []
        return [*(("images", folder) for folder in options.images), *masks, *boxes]

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """One sample: image (C, Z, Y, X) and, where there is one, label (Z, Y, X)."""
        paths = [open_path(source, path) for path in item.paths]
        channels = int(item.extra["channels"])
        headers = [read_header(path) for path in paths]
        for path, header in zip(paths[:channels], headers, strict=False):
            check_size(header, path, self.options.max_bytes)
        first = headers[0]
        self._check_grids(headers, channels)
        image = self._image(headers[:channels], paths)
        label = self._label(headers[-1], paths[-1], item) if item.extra["label"] else None
        row: dict[str, Any] = {
            "subject": subject_of(item.key, self.options.subject_pattern),
            "has_label": label is not None,
            "spacing_mm": list(spacing_of(first.affine)),
            "affine": [float(v) for v in first.affine.reshape(-1)],
            **describe(image, label, ignore=item.extra["ignore"]),
        }
        arrays: dict[str, np.ndarray | Slabs] = {"image": image}
        if label is not None:
            arrays["label"] = label
        name = item.key.replace("/", "_")
        if self.options.boxes is not None:
            told, refused = {OBJECTS: None, CLIPPED: 0}, list[Refusal]()
            if "boxes" in item.extra:
                told, refused = self.options.boxes.columns(
                    name, item.extra["boxes"], image.shape[1:], first.affine
                )
            row |= {"has_label": told[OBJECTS] is not None, **told}
            yield from (replace(one, source=item.key) for one in refused)
        yield Sample(name, row, arrays)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The array that the options name."""
        return names & {self.options.array}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.nii.gz` each, on the grid of the sample's affine; equal input, equal bytes.

        Raises:
            DataError: a sample lacks the array ("no-such-array") or the affine ("no-affine").
        """
        for sample in samples:
            values = sample.arrays.get(self.options.array)
            if values is None:
                raise DataError(
                    f"the sample has no array {self.options.array!r}",
                    code="no-such-array",
                    about=sample.id,
                )
            if isinstance(values, Slabs):
                values = np.concatenate(list(values.parts), axis=values.axis)
            affine = sample.row.get("affine")
            if affine is None or values.ndim < 3:
                raise DataError(
                    "the sample is no volume with an affine",
                    code="no-affine",
                    about=sample.id,
                    hint="export images as PNG instead",
                )
            if values.ndim == 4 and values.shape[0] == 1:
                values = values[0]
            path = place(target, sample.id, ".nii.gz")
            with replacing(path) as temporary:
                temporary.write_bytes(encode(values, np.reshape(affine, (4, 4))))
            yield path

    def _check_grids(self, headers: list[Header], channels: int) -> None:
        first = headers[0]
        for number, header in enumerate(headers):
            if same_grid(first.grid, first.affine, header.grid, header.affine):
                continue
            of_label = number >= channels
            raise DataError(
                f"the image's grid is {first.grid}, its "
                f"{'label' if of_label else 'other channel'}'s {header.grid} (or their affines "
                "differ)",
                code="label-grid-mismatch" if of_label else "channel-grid-mismatch",
                hint="resample it onto the image's grid before ingest",
            )

    def _image(self, headers: list[Header], paths: list[Path]) -> np.ndarray:
        parts = []
        for header, path in zip(headers, paths, strict=False):
            if len(header.shape) > 3 and self.options.fourth_axis == "refuse":
                raise DataError(
                    f"the image has a fourth axis of {header.shape[3]}",
                    code="four-dimensional",
                    hint="`fourth_axis: channels` if these are channels; split time series",
                )
            values = as_image(read_values(header, path))
            parts.append(values if values.ndim == 4 else values[None])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _label(self, header: Header, path: Path, item: Input) -> np.ndarray:
        if len(header.shape) > 3:
            raise DataError("the label has a fourth axis", code="four-dimensional")
        check_size(header, path, self.options.max_bytes, ratio=DEFLATE_LIMIT)
        named = self.options.label_values or item.extra["values"]
        return as_label(read_values(header, path), allowed=frozenset(named) if named else None)
