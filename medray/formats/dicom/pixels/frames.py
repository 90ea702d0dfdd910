"""What each frame of a file says about its place and its values.

A classic file is one frame. An enhanced multi-frame file keeps the same attributes in functional
groups, shared or per frame (DICOM PS3.3, C.7.6.16).
"""

from medray.errors import DataError
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.headers.headers import Header
from medray.formats.dicom.headers.lookup import Lookup, drawn_scale, modality_lookup
from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.pixels.marks import marks_of

MAX_FRAMES = 200_000
Known = tuple[Lookup | None, tuple[float, float] | None]
"""What all of a file's values go through: a Modality LUT, slope and intercept of a drawn image."""


def frames(header: Header) -> list[Frame]:
    """Describe every frame of a file, in stored order.

    Raises:
        DataError: "bad-value", "frame-count" (functional groups and NumberOfFrames disagree),
            "zero-slope", "ambiguous-rescale", "mosaic".
    """
    top = header.elements
    _check_mosaic(top)
    shared = top.first(tags.SHARED_FUNCTIONAL_GROUPS)
    per_frame = top.items.get(tags.PER_FRAME_FUNCTIONAL_GROUPS)
    count = header.frames
    if not 1 <= count <= MAX_FRAMES:
        raise DataError(f"NumberOfFrames is {count}", code="frame-count")
    known = modality_lookup(top), drawn_scale(top)
    if per_frame is None:
        if count > 1 and not shared:
            # Cine, NM or tomosynthesis: frames without places of their own are no volume.
            nowhere = [Elements(top.little)]
            return [_frame(nowhere, top, index, known) for index in range(count)]
        return [_frame([*_some(shared), top], top, index, known) for index in range(count)]
    if len(per_frame) != count:
        raise DataError(
            f"{count} frames are announced and {len(per_frame)} described", code="frame-count"
        )
    return [
        _frame([own, *_some(shared), top], top, index, known) for index, own in enumerate(per_frame)
    ]


def _check_mosaic(elements: Elements) -> None:
    """Refuse slices of a volume that lie tiled in one picture.

    Only private headers say how many they are and which way they run, so nothing is guessed.
    """
    raw, tiled = elements.raw, False
    for tag in (tags.IMAGE_TYPE, tags.MOSAIC_TYPE):
        # Looked for as bytes first, as this is done for every slice.
        tiled |= b"MOSAIC" in raw.get(tag, b"") and "MOSAIC" in elements.texts(tag)
    if tiled or raw.get(tags.MOSAIC_IMAGES) or raw.get(tags.GRID_IMAGES):
        raise DataError(
            "a MOSAIC: the slices of a volume tiled in one picture",
            code="mosaic",
            hint="dcm2niix unpacks it to NIfTI, which the format `nifti` reads",
        )


def _some(group: Elements | None) -> list[Elements]:
    return [] if group is None else [group]


def _frame(groups: list[Elements], top: Elements, index: int, known: Known) -> Frame:
    lookup, drawn = known
    # The nearest group wins: the frame's own, then the shared one, then the file's top level.
    spacing = _numbers(groups, tags.PIXEL_MEASURES_SEQUENCE, tags.PIXEL_SPACING, 2)
    thickness = _numbers(groups, tags.PIXEL_MEASURES_SEQUENCE, tags.SLICE_THICKNESS, 1)
    rescale = tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE
    slope = _numbers(groups, rescale, tags.RESCALE_SLOPE, 1)
    intercept = _numbers(groups, rescale, tags.RESCALE_INTERCEPT, 1)
    if slope and slope[0] == 0:
        raise DataError("RescaleSlope is 0: every voxel would be equal", code="zero-slope")
    if drawn is not None and (slope or (1.0,), intercept or (0.0,)) == ((1.0,), (0.0,)):
        slope, intercept = drawn[:1], drawn[1:]
    return Frame(
        position_mm=_numbers(groups, tags.PLANE_POSITION_SEQUENCE, tags.IMAGE_POSITION, 3),
        orientation=_numbers(groups, tags.PLANE_ORIENTATION_SEQUENCE, tags.IMAGE_ORIENTATION, 6),
        spacing_mm=spacing,
        thickness_mm=thickness[0] if thickness else 0.0,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        number=_instance_number(top),
        sop=top.text(tags.SOP_INSTANCE_UID),
        index=index,
        lookup=lookup,
        marks=marks_of(groups),
    )


def _instance_number(top: Elements) -> int:
    # It orders volumes at best: a series is not lost for want of it.
    try:
        return top.integer(tags.INSTANCE_NUMBER, 0)
    except DataError:
        return 0


def _numbers(groups: list[Elements], sequence: int, tag: int, count: int) -> tuple[float, ...]:
    for group in groups:
        inner = group.first(sequence) if group.items else None
        found = (inner or group).floats(tag, count)
        if found:
            return found
    return ()
