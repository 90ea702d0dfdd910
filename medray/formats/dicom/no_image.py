"""Files that are no images of a patient, by what they are or by what they are called."""

import re
from pathlib import Path

from medray.errors import DataError, PassedOver
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.headers.headers import Header

# Storage of waveforms, reports, plans, presentation states and the like: no images of a patient.
MODALITIES_WITHOUT_IMAGES = frozenset(
    {"SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "FID", "ECG", "AU", "DOC", "ANN"}
)
# Names without suffix that promise no image.
BESIDE = re.compile(r"readme|licen[cs]e|changes|changelog|version|manifest|(md5|sha\d+|check)sums?")


def foreign(path: str) -> DataError:
    """Why a file that is no DICOM is turned away."""
    # A name without suffix, or with a number or DICOM's own one, promises DICOM; others do not, nor
    # do those of what lies beside data everywhere: ._IM001.dcm of macOS, README, SHA256SUMS.
    name = path.rpartition("/")[2].lower()
    suffix = Path(name).suffix.lstrip(".")
    beside = name.startswith(".") or BESIDE.fullmatch(name)
    promised = suffix in ("", "dcm", "dicom", "ima", "img") or suffix.isdigit()
    if promised and not beside:
        return DataError("neither preamble nor data set: not DICOM, or damaged", code="not-dicom")
    return PassedOver("not a DICOM file, by content and by name", code="rejected-not-dicom")


def no_image(elements: Elements, header: Header) -> DataError | None:
    """Why a DICOM file is turned away that holds no image; None where it may hold one."""
    modality = elements.text(tags.MODALITY)
    if header.directory:
        return PassedOver("a directory of files that are found", code="rejected-dicomdir")
    if modality in MODALITIES_WITHOUT_IMAGES:
        return PassedOver(f"modality {modality} holds no images", code="rejected-no-image")
    # Rows without pixels is damage: the file ends before its pixels.
    if header.pixels is None and tags.ROWS not in elements.raw:
        return PassedOver("the data set holds no image", code="rejected-no-image")
    return None
