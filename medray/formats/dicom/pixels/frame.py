"""One slice of one file, as its header describes it."""

from dataclasses import dataclass

from medray.formats.dicom.headers.lookup import Lookup


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice of one file.

    Args:
        position_mm: centre of the first voxel in patient coordinates (LPS); () where absent.
        orientation: direction cosines of a row and of a column (6 numbers); () where absent.
        spacing_mm: between rows, between columns; () where absent.
        thickness_mm: nominal slice thickness, 0 where absent.
        slope: of the rescaling to the modality's unit.
        intercept: of the same.
        number: InstanceNumber of the file, 0 where absent or no number.
        sop: SOP instance UID of the file.
        index: of the frame within the file, from 0.
        lookup: the Modality LUT, which then stands for slope and intercept.
        marks: what may tell volumes at one place apart, as written (see `marks`).
    """

    position_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    thickness_mm: float
    slope: float
    intercept: float
    number: int
    sop: str
    index: int
    lookup: Lookup | None = None
    marks: tuple[bytes | None, ...] = ()
