"""Where the frames of a drawn image lie: one behind the other, from a corner of nobody's space."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

PAGES = 0x00182001  # Page Number Vector: what tells one frame from the next


def in_space(data: "Dataset", frames: int, spacing_mm: list[float], reference: str) -> None:
    """Number the frames of an image, and give them places where their spacing is known.

    Args:
        data: the image.
        frames: how many it has.
        spacing_mm: along (Z, Y, X) or (Y, X); empty where it is not known.
        reference: UID of the frame of reference.
    """
    from pydicom import Dataset

    if frames > 1:
        data.FrameIncrementPointer = PAGES
        data.PageNumberVector = list(range(1, frames + 1))
    if not spacing_mm:
        return
    *depth, down, across = spacing_mm
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [_decimal(down), _decimal(across)]
    if depth:
        measures.SliceThickness = measures.SpacingBetweenSlices = _decimal(depth[0])
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    groups = []
    for number in range(frames):
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = ["0", "0", _decimal(number * sum(depth))]
        group.PlanePositionSequence = [position]
        groups.append(group)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], groups
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = reference, ""


def _decimal(number: float) -> str:
    return f"{number:.10g}"
