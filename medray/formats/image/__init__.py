"""Pictures: PNG, JPEG, TIFF with masks, instances, boxes or classes; MedMNIST's archives."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import open_path, place, replacing
from medray.formats.image import npz
from medray.formats.image.boxes import (
    BoxLayout,
    BoxOptions,
    boxes_of_image,
    named_paths,
    plan_boxes,
)
from medray.formats.image.instances import grey, numbered
from medray.formats.image.layouts import (
    Labels,
    Layout,
    Planned,
    plan_csv,
    plan_folders,
    plan_instances,
    plan_masks,
    plan_npz,
    plan_plain,
)
from medray.formats.image.raster import encode_png, read_raster
from medray.formats.imaging.objects import CLIPPED, OBJECTS
from medray.formats.imaging.values import (
    as_image,
    as_label,
    check_pattern,
    columns,
    describe,
    subject_of,
)
from medray.formats.packed import grouped
from medray.storage.shards.forms.ome import images
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays, space_axes

GROUP_SAMPLES = 256
MASKED = ("masks", "instances")  # layouts of images with masks

__all__ = ["Image"]


class ImageOptions(FormatOptions):
    """How to read and write images."""

    layout: Layout | BoxLayout = "plain"
    images: str = Field("images", description="masks, instances: folder of the images")
    masks: str = Field(
        "masks",
        description="masks: folder of the masks, of the images' names; instances: so of label "
        "images, or in each picture's own folder that of a mask for each instance",
    )
    colour: Literal["own", "grey"] = Field(
        "own", description="grey: of images in colour only the luma (BT.601) is kept"
    )
    labels: Labels = Field(
        "required", description="masks, voc, yolo: whether every image must have some"
    )
    label_values: dict[int, int] | None = Field(
        None, description="value in a mask → class; None keeps the values, any that occur"
    )
    classes: tuple[str, ...] = Field(
        (),
        description="folders, csv, masks, yolo: names of the classes, in order (masks: of folders "
        "below `images`); voc, coco, boxes-csv: those that are taken, others are refused",
    )
    boxes: BoxOptions | None = Field(
        None, description="voc, yolo, coco, boxes-csv: where boxes and images lie"
    )
    table: str = Field("labels.csv", description="csv: the table, below the source")
    file_column: str = Field("file", description="csv: column with the image's path")
    label_columns: tuple[str, ...] = Field(
        ("label",), min_length=1, description="csv: one column of classes, or several of 0 and 1"
    )
    pages: Literal["refuse", "volume"] = Field(
        "refuse", description="TIFFs of several pages: refused, or stacked along Z"
    )
    pixel_mm: tuple[float, float] | None = Field(
        None, description="millimetres a pixel along (Y, X); None: as a TIFF tells, else 1"
    )
    page_mm: float | None = Field(
        None, gt=0, description="millimetres between pages along Z; None: as a TIFF tells, else 1"
    )
    subject_pattern: str = Field(
        "", description="regular expression whose first group in an image's name is its subject"
    )
    # Pillow itself refuses more in one page.
    max_pixels: int = Field(
        178_956_970, gt=0, description="refuse larger images, all pages together"
    )
    array: str = Field("label", description="which array of a sample `write` takes")

    _pattern = field_validator("subject_pattern")(check_pattern)


class Image(Format):
    """Images with masks, boxes, classes or nothing beside them; each file is a sample."""

    name: ClassVar[str] = "image"
    Options: ClassVar[type[FormatOptions]] = ImageOptions
    options: ImageOptions

    @property
    def boxed(self) -> BoxLayout | None:
        """The layout, where it is one of boxes."""
        match self.options.layout:
            case "voc" | "coco" | "yolo" | "boxes-csv" as layout:
                return layout
        return None

    def arrays(self) -> Arrays:
        """Images, with masks where the layout and `labels` say so."""
        masks = self.options.layout in MASKED
        flat = self.options.pages == "refuse" and self.options.layout != "npz"
        flat = flat or self.boxed is not None
        return images(labels=masks and self.options.labels != "none", axes=2 if flat else None)

    def holds(self) -> Holds:
        """Images with masks, or with classes, as the layout says."""
        options, masks = self.options, self.options.layout in MASKED
        told: tuple[str, ...] = ("target", "class_name", "split")
        if masks or options.layout == "plain":
            classed = options.layout == "masks" and options.classes
            told = ("target", "class_name") if classed else ()
        if self.boxed is not None:
            told = (OBJECTS, CLIPPED, "split")
        return Holds(
            named(self.arrays()),
            columns(*told),
            classes=None if self.boxed else options.classes or None,
            axes=space_axes(self.arrays()),
        )

    def needs(self) -> Needs:
        """The array."""
        hint = "`array` names the masks; `ome_zarr` takes any array, `nifti` volumes"
        return Needs((names(self.options.array),), axes=2, hint=hint)

    def plan(self, source: Source) -> Found:
        """Images by name, from the listing alone (and the table, or the archives' headers)."""
        items, refused = self._planned(source)
        size = 1 if self.options.layout == "npz" else GROUP_SAMPLES
        return Found(grouped(items, samples=size), refused)

    def named(self) -> list[tuple[str, str]]:
        """Folders of images and of masks, or the table, as the layout has them."""
        options = self.options
        if self.boxed is not None:
            return named_paths(self.boxed, options.boxes or BoxOptions())
        if options.layout == "csv":
            return [("table", options.table)]
        if options.layout != "masks":
            return []  # of instances each picture may have a folder of its own
        masks = [("masks", options.masks)] if options.labels == "required" else []
        return [("images", options.images), *masks]

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """One sample a file: image (C, Y, X) and label (Y, X) or target; many of an archive."""
        if self.options.layout == "npz":
            yield from self._read_npz(source, item)
            return
        stacked = self.options.pages == "volume"
        limit = self.options.max_pixels
        path = open_path(source, item.paths[0])
        values, spacing = read_raster(path, limit, volume=stacked, indices=False)
        image = as_image(grey(values) if self.options.colour == "grey" else values)
        label = None
        if item.extra.get("each"):
            label = numbered(self._instances(source, item), image.shape[1:])
        elif item.extra.get("mask"):
            path = open_path(source, item.paths[1])
            mask, _ = read_raster(path, limit, volume=stacked, indices=True)
            if mask.shape[0] != 1:
                raise DataError("the mask is coloured", code="coloured-mask")
            if mask.shape[1:] != image.shape[1:]:
                raise DataError(
                    f"the image is {image.shape[1:]} pixels, its mask {mask.shape[1:]}",
                    code="label-grid-mismatch",
                )
            label = as_label(mask[0], mapping=self.options.label_values)
        made = self._sample(str(item.extra["id"]), image, label, item.extra, spacing)
        if self.boxed is not None:
            beside = open_path(source, item.paths[1]) if item.extra.get("beside") else None
            columns, refused = boxes_of_image(item, beside, self.boxed, self.options.classes, image)
            made.row.update(columns, has_label=columns[OBJECTS] is not None)
            yield from refused
        yield made

    def _instances(self, source: Source, item: Input) -> Iterator[tuple[str, np.ndarray]]:
        """Name and pixels of each mask; of one in colour where any channel is not 0."""
        for path in item.paths[1:]:
            values, _ = read_raster(
                open_path(source, path), self.options.max_pixels, volume=False, indices=True
            )
            yield path.rpartition("/")[2], (values != 0).max(0)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The array that the options name."""
        return names & {self.options.array}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.png` each; classes are written as their numbers.

        Raises:
            DataError: a sample lacks the array ("no-such-array"), or PNG can't hold it
                ("not-a-png").
        """
        for sample in samples:
            values = sample.arrays.get(self.options.array)
            if values is None or isinstance(values, Slabs):
                raise DataError(
                    f"the sample has no array {self.options.array!r} of two dimensions",
                    code="no-such-array",
                    about=sample.id,
                )
            path = place(target, sample.id, ".png")
            with replacing(path) as temporary:
                temporary.write_bytes(encode_png(values))
            yield path

    def _planned(self, source: Source) -> Planned:
        options = self.options
        match options.layout:
            case "plain":
                return plan_plain(source)
            case "masks":
                return plan_masks(
                    source, options.images, options.masks, options.labels, options.classes
                )
            case "instances":
                return plan_instances(source, options.images, options.masks)
            case "folders":
                return plan_folders(source, options.classes)
            case "csv":
                return plan_csv(
                    source,
                    options.table,
                    options.file_column,
                    options.label_columns,
                    options.classes,
                )
            case "npz":
                return plan_npz(source)
            case layout:
                boxes, required = options.boxes or BoxOptions(), options.labels == "required"
                return plan_boxes(source, layout, boxes, required=required)

    def _read_npz(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        split, start, stop = (item.extra[key] for key in ("split", "start", "stop"))
        path = open_path(source, item.paths[0])
        for number, (raw, label) in enumerate(npz.read_part(path, split, start, stop), start):
            if raw.ndim == 3 and raw.shape[-1] == 3:
                raw = np.ascontiguousarray(np.moveaxis(raw, -1, 0))
            else:
                raw = raw[None]
            name = f"{item.extra['id']}{split}-{number:06d}"
            try:
                target = npz.classes_of(label)
                extra = {"target": target[0] if len(target) == 1 else target, "split": split}
                yield self._sample(name, as_image(raw), None, extra)
            except DataError as error:
                yield Refusal.of(item.key, error, sample=name)

    def _sample(
        self,
        name: str,
        image: np.ndarray,
        label: np.ndarray | None,
        extra: dict[str, Any],
        told: tuple[float | None, ...] = (None, None, None),
    ) -> Sample:
        named = (self.options.page_mm, *(self.options.pixel_mm or (None, None)))
        spacing = [mm or found or 1.0 for mm, found in zip(named, told, strict=True)]
        row: dict[str, Any] = {
            "subject": subject_of(name, self.options.subject_pattern),
            "has_label": label is not None or "target" in extra,
            "spacing_mm": spacing[4 - image.ndim :],
            **{key: extra[key] for key in ("target", "class_name", "split") if key in extra},
            **describe(image, label),
        }
        arrays: dict[str, np.ndarray | Slabs] = {"image": image}
        if label is not None:
            arrays["label"] = label
        return Sample(name, row, arrays)
