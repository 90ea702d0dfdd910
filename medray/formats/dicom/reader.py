"""One series read on a worker: each file once, its header and its pixels together."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.base import Input, Source
from medray.formats.dicom.beside import Beside, Space, open_file
from medray.formats.dicom.confined import Confined
from medray.formats.dicom.deidentify import Pseudonyms, kernel, require_one_person, vendor, view
from medray.formats.dicom.geometry import Verdict, classify, report, resamplable
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.headers.headers import Header, Limits, load
from medray.formats.dicom.headers.lookup import palette
from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.pixels.frames import frames
from medray.formats.dicom.pixels.pixels import Layout, decode, stored_range
from medray.formats.dicom.references import describe_source
from medray.formats.dicom.resample import regularise
from medray.formats.dicom.rois.places import Places
from medray.formats.dicom.volume import Volume
from medray.formats.imaging.values import SYNTHETIC, columns, describe, spacing_of
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

# Stored values of these are measurements, and MONOCHROME1 is only how to show them.
MEASURED = frozenset({"CT", "MR", "PT", "NM"})
MAX_AGE_YEARS = 90

Decoded = tuple[list[Frame], npt.NDArray[Any], Layout]


@dataclass(frozen=True)
class Rules:
    """How a series becomes samples.

    Args:
        names: pseudonyms.
        limits: sizes to refuse.
        resample: interpolate grids that are not regular.
        projections: series are X-rays, and no volumes.
        split: 4-D series give one sample per volume.
        keep_sex_and_age: put both in the row.
    """

    names: Pseudonyms
    limits: Limits
    resample: bool
    projections: bool
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


def read_series(
    source: Source, item: Input, rules: Rules, beside: Beside
) -> Iterator[Sample | Refusal]:
    """Read, judge and assemble one series; objects in it that can't be taken are refused alone.

    Args:
        source: whose root is resolved.
        item: of the plan.
        rules: how.
        beside: what lies beside it.

    Raises:
        DataError: every reason why it is no volume.
    """
    files = Confined(source)
    stack = _read_files(files, item, rules)
    if rules.projections:
        yield from _projection(item, rules, beside, stack)
        return
    verdict = classify(stack.frames)
    mended = rules.resample and resamplable(verdict)
    parted = rules.split and verdict.code == "several-volumes"
    if verdict.code and not (mended or parted):
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
        yield from _sample(files, item, rules, beside, part, judged, suffix)


def _hint(verdict: Verdict) -> str:
    if resamplable(verdict):
        return "`resample: true` interpolates it onto a regular grid"
    if verdict.code == "several-volumes":
        return "`volumes: split` takes each volume as a sample"
    if verdict.code in ("indistinct-volumes", "mixed-volumes"):
        return "give each volume a series UID of its own at the source"
    return ""


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
            again = _copies(files, copies.get(index, []), rules.limits)
            try:
                if isinstance(found, DataError):
                    raise found
                handle, status = found
                header, buffer, crc = load(handle, status.st_size, rules.limits, crc)
                own, stored, layout = _decoded(header, buffer, rules.limits)
            except DataError:
                if not again:
                    raise
                header, (own, stored, layout) = again.pop(0)
            for _, copy in again:
                _compare(copy, own, stored)
            if volume is None or first is None:
                channels = 3 if layout.photometric == "PALETTE COLOR" else layout.samples
                shape = (channels, slices, layout.rows, layout.columns)
                volume, first = Volume(shape, rules.limits), (header.elements, layout)
            require_one_person(first[0], header.elements)
            if len(described) + len(own) > slices:
                raise _changed()
            for frame, plane in zip(own, stored, strict=True):
                volume.put(len(described), *_rescaled(plane, frame, header.elements, layout))
                described.append(frame)
            # Let go of before the next file is read: it gets the same memory, which is in the
            # core's cache, and pushes nothing else out of it.
            buffer = b""
            del stored, plane
    if volume is None or first is None or len(described) != slices:
        raise _changed()
    return Stack(volume.array, described, *first, f"{crc:08x}", volume.ends)


def _decoded(header: Header, buffer: bytes, limits: Limits) -> Decoded:
    own = frames(header)
    stored, layout = decode(header, buffer, limits)
    return own, stored, layout


def _rescaled(
    plane: npt.NDArray[Any], frame: Frame, head: Elements, layout: Layout
) -> tuple[npt.NDArray[Any], float, float]:
    """A plane (C, Y, X) of stored values, slope and intercept that make it the modality's values.

    Raises:
        DataError: of `lookup.palette`; "unsupported-pixels" (a palette beside a rescaling).
    """
    if layout.photometric == "PALETTE COLOR":
        if frame.lookup is not None or (frame.slope, frame.intercept) != (1, 0):
            raise DataError("a palette beside a rescaling", code="unsupported-pixels")
        return np.concatenate([table(plane) for table in palette(head)]), 1, 0
    ends = stored_range(layout)
    if frame.lookup is not None:
        plane, ends = frame.lookup(plane), (0, (1 << frame.lookup.bits) - 1)
    if layout.photometric == "MONOCHROME1" and not _measured(head):
        # The smallest value shows white: turned so that more is brighter, as elsewhere.
        plane = (sum(ends) - plane.astype(np.int64)).astype(np.int32)
    return plane, frame.slope, frame.intercept


def _photometric(head: Elements, layout: Layout) -> str:
    """What the values mean as they stand in the sample."""
    if layout.samples == 3 or layout.photometric == "PALETTE COLOR":
        return "RGB"
    return layout.photometric if _measured(head) else "MONOCHROME2"


def _measured(head: Elements) -> bool:
    return head.text(tags.MODALITY) in MEASURED


def _changed() -> DataError:
    return DataError(
        "the files changed after they were planned", code="changed-source", hint="plan again"
    )


def _copies(files: Confined, paths: list[str], limits: Limits) -> list[tuple[Header, Decoded]]:
    """Other files of one SOP instance that can be decoded; one that can't costs nothing."""
    found = []
    for path in paths:
        with suppress(DataError):
            header, buffer = open_file(files, path, limits)
            found.append((header, _decoded(header, buffer, limits)))
    return found


def _compare(copy: Decoded, own: list[Frame], stored: npt.NDArray[Any]) -> None:
    described, pixels, _ = copy
    if not np.array_equal(pixels, stored) or [_place(f) for f in described] != list(
        map(_place, own)
    ):
        raise DataError(
            "two files with one SOP instance UID hold different pixels, or lie elsewhere",
            code="conflicting-duplicates",
            hint="remove the one that is wrong",
        )


def _place(frame: Frame) -> tuple[object, ...]:
    return (
        frame.position_mm,
        frame.orientation,
        frame.spacing_mm,
        frame.slope,
        frame.intercept,
        frame.lookup and frame.lookup.values.tobytes(),
    )


def _sample(
    files: Confined,
    item: Input,
    rules: Rules,
    beside: Beside,
    stack: Stack,
    verdict: Verdict,
    suffix: str,
) -> Iterator[Sample | Refusal]:
    image, affine, ends = stack.array, verdict.affine, stack.ends
    assert affine is not None, verdict  # noqa: S101 - regular and resamplable verdicts have one
    if verdict.code:
        image, affine = regularise(
            image, stack.frames, verdict.numbers["gap_median_mm"], rules.limits
        )
        ends = None
    arrays: dict[str, Any] = {"image": image}
    grid = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    places = Places(stack.frames, affine, stack.head.text(tags.FRAME_OF_REFERENCE_UID))
    space = Space(item.key + suffix, grid, places)
    told = beside.told(files, item.extra, rules.limits, space)
    if told.label is not None:
        arrays["label"] = told.label
    verdict = replace(verdict, affine=affine)
    row = _row(stack, rules, spacing_of(affine), verdict) | describe(image, told.label, ends)
    row |= {"has_label": told.label is not None, **told.columns}
    yield from (replace(one, source=item.key) for one in told.refused)
    yield Sample(space.key, row, arrays)


COLUMNS = columns(
    *("study", "series", "study_date", "modality", "manufacturer", "kernel", "kvp"),
    *("thickness_mm", "photometric", "affine", "geometry", "resampled", "source_crc32c"),
    *("dicom_geometry", "view", "sex", "age_years", SYNTHETIC),
)


def _projection(
    item: Input, rules: Rules, beside: Beside, stack: Stack
) -> Iterator[Sample | Refusal]:
    """The sample of an X-ray, (C, Y, X)."""
    frame, count = stack.frames[0], len(stack.frames)
    if count > 1 or frame.position_mm:
        reason = f"{count} frames" if count > 1 else "a slice that has a place in space"
        raise DataError(reason, code="no-projection", hint="leave `projections` out for volumes")
    image = stack.array[:, 0]
    # That of the detector is of what is magnified there; many X-rays have no other.
    spacing = frame.spacing_mm or stack.head.floats(tags.IMAGER_PIXEL_SPACING, 2)
    if spacing and min(spacing) <= 0:
        raise DataError("pixel spacing is not positive", code="mixed-spacing")
    told = beside.boxed(item.extra, item.key, image.shape[1:], np.eye(4))
    row = _row(stack, rules, spacing) | describe(image, None, stack.ends) | {"has_label": False}
    yield from (replace(one, source=item.key) for one in told.refused)
    yield Sample(item.key, row | {"view": view(stack.head), **told.columns}, {"image": image})


def _row(
    stack: Stack, rules: Rules, spacing_mm: Sequence[float], verdict: Verdict | None = None
) -> dict[str, Any]:
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
        "photometric": _photometric(head, stack.layout),
        "spacing_mm": list(spacing_mm) or None,
    }
    if verdict is not None and verdict.affine is not None:
        row["affine"] = [float(value) for value in verdict.affine.reshape(-1)]
        row["geometry"] = json.dumps(report(verdict), sort_keys=True)
        row["resampled"] = verdict.code
    row["source_crc32c"] = stack.crc32c
    if verdict is not None:
        about = (head, stack.layout, subject, date, names)
        row["dicom_geometry"] = describe_source(stack.frames, *about)
    if head.text(tags.SYNTHETIC_DATA).upper() == "YES":
        row[SYNTHETIC] = True
    if rules.keep_sex_and_age:
        sex = head.text(tags.PATIENT_SEX)
        row["sex"] = sex if sex in ("F", "M", "O") else ""
        age = head.text(tags.PATIENT_AGE)
        years = int(age[:3]) if age[:3].isdigit() and age[3:] == "Y" else 0
        row["age_years"] = min(years, MAX_AGE_YEARS)
    return row
