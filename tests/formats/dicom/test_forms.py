"""A header read by its form is the header that a walk finds, or it is walked."""

import io
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medray.errors import DataError
from medray.formats.dicom.headers import elements, headers
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.headers.forms import Forms
from medray.formats.dicom.headers.headers import LIMITS, parse


def slice_of(number: int, syntax: str, *, undefined: bool = False) -> bytes:
    """One slice; values differ by its number, and as long as it has one digit, no lengths."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
    ds.SOPInstanceUID, ds.InstanceNumber = f"1.2.{number}", number
    ds.PatientName = "Doe^Jane"
    ds.ImagePositionPatient = [0, 0, number]
    source = Dataset()
    source.ReferencedSOPInstanceUID = "1.2.3"
    ds.SourceImageSequence = Sequence([source])  # wanted
    ds.RequestAttributesSequence = Sequence([source])  # stepped over, or into
    for name in ("SourceImageSequence", "RequestAttributesSequence"):
        ds[name].is_undefined_length = undefined
        ds[name].value[0].is_undefined_length_sequence_item = undefined
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.PixelRepresentation = 2, 2, 16, 1
    ds.PixelData = bytes([number]) * 8
    made = io.BytesIO()
    ds.save_as(made, enforce_file_format=True)
    return made.getvalue()


def told(found: Elements) -> tuple[Any, ...]:
    items = {tag: [told(item) for item in items] for tag, items in found.items.items()}
    return found.raw, items, found.little


def outcome(buffer: bytes) -> Any:
    """All that `parse` says, errors included."""
    try:
        header, _ = parse(buffer, len(buffer), LIMITS, whole=True)
    except (DataError, elements.NeedMoreBytes) as error:
        return getattr(error, "code", "more")
    return told(header.elements), header.syntax, header.size, header.pixels, header.directory


@pytest.fixture(autouse=True)
def forms(monkeypatch: pytest.MonkeyPatch) -> Forms:
    fresh = Forms()
    monkeypatch.setattr(headers, "FORMS", fresh)
    return fresh


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("undefined", [False, True])
def test_a_changed_byte_gives_what_a_walk_gives(
    syntax: str, undefined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (slice_of(number, syntax, undefined=undefined) for number in (1, 2))
    recalled = 0
    for at in range(128, len(second)):
        for bit in (1, 32):
            changed = bytearray(second)
            changed[at] ^= bit
            monkeypatch.setattr(headers, "FORMS", Forms())
            walked = outcome(bytes(changed))
            monkeypatch.setattr(headers, "FORMS", Forms())
            outcome(first)
            recalled += headers.FORMS.recall(bytes(changed)) is not None
            assert outcome(bytes(changed)) == walked, (at, bit)
    assert recalled > 100  # a changed value is no other form


def test_slices_of_a_series_are_read_by_form(forms: Forms) -> None:
    walked = [slice_of(number, ExplicitVRLittleEndian) for number in (8, 9, 100)]
    assert forms.recall(walked[0]) is None
    outcome(walked[0])
    assert forms.recall(walked[1]) is not None
    assert outcome(walked[1])[0][0] != outcome(walked[0])[0][0]
    assert forms.recall(walked[2]) is None  # its number is longer
    assert forms.recall(walked[1][:-20]) is None  # ends before its pixels
