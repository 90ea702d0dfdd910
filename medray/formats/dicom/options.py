"""What can be said of DICOM to be read."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medray.formats.base import FormatOptions
from medray.formats.dicom.headers.headers import LIMITS
from medray.formats.dicom.rois import CLASSES, Rois
from medray.formats.dicom.series import Select
from medray.formats.dicom.tree import SEGMENTATIONS
from medray.formats.imaging.volume_boxes import VolumeBoxes

SEG, MARKED = "seg", "contours"
MAX_CLASSES = 255  # of contours: masks of them are uint8


class Deidentify(FormatOptions):
    """How identifiers leave the format; the key itself never stands here."""

    method: Literal["keyed", "none"] = Field(
        "keyed", description="none: the source is de-identified already"
    )
    key_env: str = Field("MEDRAY_DEID_KEY", description="environment variable that holds the key")
    key_file: str = Field("", description="file that holds the key; goes before key_env")
    show_paths: bool = Field(
        False, description="name files by path in the quarantine: only where paths name nobody"
    )
    keep_sex_and_age: bool = Field(
        False, description="option 113108 of PS3.15; ages from 90 become 90"
    )


class DicomOptions(FormatOptions):
    """How to read DICOM."""

    select: Select = Select()
    deidentify: Deidentify = Deidentify()
    labels: str = Field(
        "",
        description="folder of masks (absolute, or below the source) named <series UID> or <folder "
        "of the series> with .nii.gz; `seg`: DICOM SEG files of the source; `contours`: those of "
        "its structure sets as masks; `sr`, `rtstruct`: objects of reports or structure sets; "
        "empty: none of these",
    )
    require_labels: bool = Field(
        True, description="with labels or boxes: refuse series without any of their own"
    )
    classes: tuple[str, ...] = Field(
        (),
        max_length=MAX_CLASSES,
        description="sr, rtstruct: findings or regions that are taken, others are refused; "
        "contours: regions of the values 1, 2, …, later ones over earlier ones",
    )
    boxes: VolumeBoxes | None = Field(
        None,
        description="boxes of a table, which names series (X-rays: images) by their UID; in place "
        "of `labels`",
    )
    resample: bool = Field(
        False, description="interpolate tilted or unevenly spaced series onto a regular grid"
    )
    projections: bool = Field(
        False,
        description="take X-rays, which have no place in space (CR, DX, MG …), and nothing else: "
        "each image of a series is a sample of two axes",
    )
    volumes: Literal["refuse", "split"] = Field(
        "refuse", description="4-D series: refused, or one sample per volume"
    )
    max_file_bytes: int = Field(LIMITS.file_bytes, gt=0, description="refuse larger files")
    max_bytes: int = Field(LIMITS.sample_bytes, gt=0, description="refuse larger volumes")

    @model_validator(mode="after")
    def _names_classes(self) -> Self:
        if self.boxes and self.labels:
            raise ValueError("`boxes` or `labels`, not both")
        if self.projections and (self.labels or (self.boxes and self.boxes.space)):
            raise ValueError("`projections` have no place in space: boxes in voxels, or nothing")
        classes = self.boxes.classes if self.boxes else self.classes
        if self.objects and self.deidentify.method == "keyed" and not classes:
            raise ValueError("name `classes`: what people call regions may name a patient")
        if self.contours and len(set(self.classes)) != max(1, len(self.classes)):
            raise ValueError("name `classes`, each once: the regions of the values 1, 2, …")
        if self.classes and not (self.rois or self.contours):
            raise ValueError(
                "`classes` are those of `labels: sr`, `labels: rtstruct` or `labels: contours`"
            )
        return self

    @property
    def taken(self) -> Select:
        """Which series are; an X-ray is one of one image, however many slices volumes have."""
        return self.select.model_copy(update={"min_slices": 1} if self.projections else {})

    @property
    def contours(self) -> bool:
        """Whether masks are made of contours."""
        return self.labels == MARKED

    @property
    def rois(self) -> Rois | None:
        """Of which files objects are read; None: of none."""
        return "sr" if self.labels == "sr" else "rtstruct" if self.labels == "rtstruct" else None

    @property
    def objects(self) -> bool:
        """Whether series have objects."""
        return bool(self.rois or self.boxes)

    @property
    def masks(self) -> str:
        """Folder of masks in NIfTI; "": there is none."""
        return "" if self.labels in (SEG, MARKED) or self.rois else self.labels

    @property
    def beside(self) -> frozenset[str]:
        """SOP classes of the files that `labels` names."""
        if self.rois:
            return CLASSES[self.rois]
        if self.contours:
            return CLASSES["rtstruct"]
        return SEGMENTATIONS if self.labels == SEG else frozenset()
