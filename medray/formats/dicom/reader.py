"""One series read on a worker: each file once, its header and its pixels together."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.base import Input
from medray.formats.dicom import tags
from medray.formats.dicom.deidentify import Pseudonyms, kernel, vendor
from medray.formats.dicom.elements import Elements
from medray.formats.dicom.frames import Frame, frames
from medray.formats.dicom.geometry import Floats, Verdict, classify, report, resamplable
from medray.formats.dicom.headers import Confined, Header, Limits, load
from medray.formats.dicom.labels import read_nifti, read_segmentation
from medray.formats.dicom.pixels import Layout, decode, stored_range
from medray.formats.dicom.references import describe_source
from medray.formats.dicom.resample import regularise
from medray.formats.dicom.volume import Volume
from medray.formats.imaging import describe, spacing_of
from medray.storage.samples import Sample

# Stored values of these are measurements, and MONOCHROME1 is only how to show them.
MEASURED = frozenset({"CT", "MR", "PT", "NM"})
MAX_AGE_YEARS = 90


@dataclass(frozen=True)
class Rules:
    """How a series becomes samples.

    Args:
        names: pseudonyms.
        limits: sizes to refuse.
        resample: interpolate grids that are not regular.
        split: 4-D series give one sample per volume.
        keep_sex_and_age: put both in the row.
    """

    names: Pseudonyms
    limits: Limits
    resample: bool
    split: bool
    keep_sex_and_age: bool


@dataclass
class Stack:
    """All slices of a series, in stored order.

    Args:
        array: (C, Z, Y, X).
        frames: Z of them.
        head: attributes of the first file.
        layout: of the first file.
        crc32c: over the contents of all files in order, 8 hex digits.
        ends: smallest and largest value of the array, None where they must be looked for.
    """

    array: npt.NDArray[Any]
    frames: list[Frame]
    head: Elements
    layout: Layout
    crc32c: str
    ends: tuple[float, float] | None


def read_series(root: Path, item: Input, rules: Rules, masks: Path | None) -> Iterator[Sample]:
    """Read, judge and assemble one series.

    Args:
        root: of the source, resolved.
        item: of the plan.
        rules: how.
        masks: folder of NIfTI masks, None where labels are DICOM SEG or absent.

    Raises:
        DataError: every reason why it is no volume.
    """
    files = Confined(root)
    stack = _read_files(files, item, rules)
    verdict = classify(stack.frames)
    sound = (
        not verdict.code
        or (rules.resample and resamplable(verdict))
        or (rules.split and verdict.code == "several-volumes")
    )
    if not sound:
        raise DataError(verdict.message, code=verdict.code, hint=_hint(verdict))
    if len(verdict.volumes) == 1:
        parts = [("", verdict, verdict.volumes[0])]
    else:
        # Each volume of a 4-D series is judged for itself.
        parts = [
            (f"-{number:04d}", classify([stack.frames[i] for i in order]), order)
            for number, order in enumerate(verdict.volumes)
        ]
    for suffix, judged, order in parts:
        ordered = [stack.frames[index] for index in order]
        if judged.code and not (rules.resample and resamplable(judged)):
            raise DataError(judged.message, code=judged.code, hint=_hint(judged))
        array, whole = stack.array, len(order) == len(stack.frames)
        if not whole or (np.diff(order) != 1).any():
            array = array[:, order]
        ends = stack.ends if whole else None
        part = replace(stack, array=array, frames=ordered, ends=ends)
        yield _sample(files, item, rules, masks, part, judged, suffix)


def _hint(verdict: Verdict) -> str:
    if resamplable(verdict):
        return "`resample: true` interpolates it onto a regular grid"
    if verdict.code == "several-volumes":
        return "`volumes: split` takes each volume as a sample"
    return ""


def _open(files: Confined, path: str, limits: Limits) -> tuple[Header, bytes]:
    handle, status = files.open(path)
    try:
        header, buffer, _ = load(handle, status.st_size, limits)
    finally:
        os.close(handle)
    return header, buffer


def _read_files(files: Confined, item: Input, rules: Rules) -> Stack:
    slices = int(item.extra["slices"])
    copies: dict[int, list[str]] = {}
    for index, path in item.extra["copies"]:
        copies.setdefault(index, []).append(path)
    volume: Volume | None = None
    described: list[Frame] = []
    first: tuple[Elements, Layout] | None = None
    crc = 0
    with closing(files.open_all(item.paths)) as opened:
        for index, found in enumerate(opened):
            if isinstance(found, DataError):
                raise found
            handle, status = found
            header, buffer, crc = load(handle, status.st_size, rules.limits, crc)
            own = frames(header)
            stored, layout = decode(header, buffer, rules.limits)
            for copy in copies.get(index, []):
                _check_copy(files, copy, stored, rules.limits)
            if volume is None or first is None:
                shape = (layout.samples, slices, layout.rows, layout.columns)
                volume, first = Volume(shape, rules.limits), (header.elements, layout)
            if len(described) + len(own) > slices:
                raise _changed()
            if layout.photometric == "MONOCHROME1" and not _measured(first[0]):
                # The smallest value shows white: turned so that more is brighter, as elsewhere.
                stored = (sum(stored_range(layout)) - stored.astype(np.int64)).astype(np.int32)
            for frame, plane in zip(own, stored, strict=True):
                volume.put(len(described), plane, frame.slope, frame.intercept)
                described.append(frame)
    if volume is None or first is None or len(described) != slices:
        raise _changed()
    return Stack(volume.array, described, *first, f"{crc:08x}", volume.ends)


def _measured(head: Elements) -> bool:
    return head.text(tags.MODALITY) in MEASURED


def _changed() -> DataError:
    return DataError(
        "the files changed after they were planned", code="changed-source", hint="plan again"
    )


def _check_copy(files: Confined, path: str, stored: npt.NDArray[Any], limits: Limits) -> None:
    header, buffer = _open(files, path, limits)
    again, _ = decode(header, buffer, limits)
    if again.shape != stored.shape or not np.array_equal(again, stored):
        raise DataError(
            "two files with one SOP instance UID hold different pixels",
            code="conflicting-duplicates",
        )


def _sample(
    files: Confined,
    item: Input,
    rules: Rules,
    masks: Path | None,
    stack: Stack,
    verdict: Verdict,
    suffix: str,
) -> Sample:
    image, affine, ends = stack.array, verdict.affine, stack.ends
    assert affine is not None, verdict  # noqa: S101 - regular and resamplable verdicts have one
    if verdict.code:
        image, affine = regularise(
            image, stack.frames, verdict.numbers["gap_median_mm"], rules.limits
        )
        ends = None
    arrays: dict[str, Any] = {"image": image}
    label = _label(files, item, rules, masks, image.shape[1:], affine)
    if label is not None:
        arrays["label"] = label
    row = _row(stack, affine, verdict, rules) | describe(image, label, ends)
    row["has_label"] = label is not None
    return Sample(item.key + suffix, row, arrays)


def _label(
    files: Confined,
    item: Input,
    rules: Rules,
    masks: Path | None,
    shape: tuple[int, ...],
    affine: Floats,
) -> npt.NDArray[Any] | None:
    name = item.extra.get("label")
    if name is None:
        return None
    grid = (shape[0], shape[1], shape[2])
    if masks is not None:
        return read_nifti(masks / name, grid, affine)
    header, buffer = _open(files, name, rules.limits)
    return read_segmentation(header, buffer, grid, affine)


def _row(stack: Stack, affine: Floats, verdict: Verdict, rules: Rules) -> dict[str, Any]:
    head, names = stack.head, rules.names
    # Without a patient's id the study is the widest group that surely is one person.
    person = head.text(tags.PATIENT_ID) or head.text(tags.STUDY_INSTANCE_UID)
    subject = names.subject(person, head.text(tags.ISSUER_OF_PATIENT_ID))
    date = names.date(head.text(tags.STUDY_DATE), person)
    row: dict[str, Any] = {
        "subject": subject,
        "study": names.uid(head.text(tags.STUDY_INSTANCE_UID)),
        "series": names.uid(head.text(tags.SERIES_INSTANCE_UID)),
        "study_date": date,
        "modality": head.text(tags.MODALITY),
        "manufacturer": vendor(head),
        "kernel": kernel(head),
        "kvp": head.number(tags.KVP, 0.0),
        "thickness_mm": stack.frames[0].thickness_mm,
        "photometric": stack.layout.photometric,
        "spacing_mm": list(spacing_of(affine)),
        "affine": [float(value) for value in affine.reshape(-1)],
        "geometry": json.dumps(report(verdict), sort_keys=True),
        "resampled": verdict.code,
        "source_crc32c": stack.crc32c,
        "dicom_geometry": describe_source(stack.frames, head, stack.layout, subject, date, names),
    }
    if rules.keep_sex_and_age:
        sex = head.text(tags.PATIENT_SEX)
        row["sex"] = sex if sex in ("F", "M", "O") else ""
        age = head.text(tags.PATIENT_AGE)
        years = int(age[:3]) if age[:3].isdigit() and age[3:] == "Y" else 0
        row["age_years"] = min(years, MAX_AGE_YEARS)
    return row
