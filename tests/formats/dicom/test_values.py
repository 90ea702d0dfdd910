"""Values as the standard means them: tables, stored bits, numbers as scanners write them."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless


def table(descriptor, entries, signed=False):
    """A Modality LUT."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", descriptor)
    item.ModalityLUTType = "HU"
    item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
    return Sequence([item])


def hounsfield(data, _):
    del data.RescaleSlope, data.RescaleIntercept


@pytest.mark.parametrize(
    ("descriptor", "entries", "signed"),
    [
        ([16, 100, 16], np.arange(16) ** 2 * 10, False),
        ([0, 0, 16], np.arange(2**16)[::-1], False),  # 0 stands for 65,536
        ([400, 0, 12], np.arange(400) * 10, False),
        ([40, -20, 16], np.arange(40) + 1000, True),
    ],
    ids=["clipped", "full", "12-bit", "signed"],
)
def test_a_modality_lut_is_applied_as_pydicom_does(
    write_series, ingest, descriptor, entries, signed
):
    def change(data, index):
        hounsfield(data, index)
        data.ModalityLUTSequence = table(descriptor, entries, signed)
        if signed:
            data.PixelRepresentation = 1
            data.PixelData = (np.arange(24) - 12).astype("<i2").tobytes()

    made = write_series(3, change=change)
    (sample,) = ingest().samples
    for index, data in enumerate(made):
        entry = data.ModalityLUTSequence[0]
        entry.LUTDescriptor = [*descriptor[:2], 16]  # pydicom knows 8 and 16 bits only
        expected = apply_modality_lut(data.pixel_array, data)
        np.testing.assert_array_equal(sample.arrays["image"][0, index], expected)


def test_a_window_is_how_to_show_values_and_not_applied(write_series, ingest, stored_plane):
    window = table([16, 0, 16], np.zeros(16))
    write_series(3, RescaleIntercept=0, VOILUTSequence=window, WindowCenter=40, WindowWidth=400)
    (sample,) = ingest().samples
    np.testing.assert_array_equal(sample.arrays["image"][0, 1], stored_plane(1))


def test_all_frames_of_a_file_take_its_modality_lut(write_series, ingest):
    def change(data, index):
        hounsfield(data, index)
        data.ModalityLUTSequence = table([256, 0, 16], np.arange(256) * 7)
        shared, orientation, measures = Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient = data.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, 5
        shared.PlaneOrientationSequence = Sequence([orientation])
        shared.PixelMeasuresSequence = Sequence([measures])
        data.SharedFunctionalGroupsSequence = Sequence([shared])
        groups = []
        for number in range(3):
            group, position = Dataset(), Dataset()
            position.ImagePositionPatient = [0, 0, 5.0 * number]
            group.PlanePositionSequence = Sequence([position])
            groups.append(group)
        data.PerFrameFunctionalGroupsSequence = Sequence(groups)
        data.NumberOfFrames = 3
        data.PixelData = np.arange(72, dtype="<u2").tobytes()

    write_series(1, change=change)
    (sample,) = ingest().samples
    expected = np.arange(72).reshape(3, 4, 6) * 7
    np.testing.assert_array_equal(sample.arrays["image"][0], expected)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda item: setattr(item, "LUTData", b"\0\0"), "bad-value"),
        (lambda item: setattr(item, "LUTDescriptor", [16, 0, 40]), "bad-value"),
        (lambda item: delattr(item, "LUTDescriptor"), "bad-value"),
    ],
)
def test_a_damaged_table_is_refused(write_series, ingest, change, code):
    def damage(data, index):
        hounsfield(data, index)
        data.ModalityLUTSequence = table([16, 0, 16], range(16))
        change(data.ModalityLUTSequence[0])

    write_series(3, change=damage)
    assert ingest().codes == {code: 3}


def test_a_table_beside_a_slope_is_refused(write_series, ingest):
    write_series(3, ModalityLUTSequence=table([16, 0, 16], range(16)), RescaleSlope=2)
    assert ingest().codes == {"ambiguous-rescale": 3}


def words(signed, stored, high):
    """Words with something else above and below the stored bits, and their values."""
    rng = np.random.default_rng(stored)
    low = -(1 << (stored - 1)) if signed else 0
    values = rng.integers(low, low + (1 << stored), (4, 6))
    shift = high + 1 - stored
    noise = rng.integers(0, 2**16, (4, 6))
    mask = ((1 << stored) - 1) << shift
    return ((values << shift) & mask | noise & ~mask).astype("<u2"), values


@pytest.mark.parametrize("form", ["explicit", "implicit", "rle", "big"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 12), (15, 14), (1, 0)])
def test_only_stored_bits_count_whatever_the_syntax(
    write_series, ingest, form, signed, stored, high
):
    raw, values = words(signed, stored, high)

    def change(data, index):
        data.BitsStored, data.PixelRepresentation, data.RescaleIntercept = stored, int(signed), 0
        data.HighBit = high
        data.PixelData = raw.tobytes()
        if form == "implicit":
            data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        elif form == "big":
            data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            data.PixelData = raw.astype(">u2").tobytes()
        elif form == "rle":
            data.BitsStored, data.HighBit = 16, 15
            data.compress(RLELossless, generate_instance_uid=False)
            data.BitsStored, data.HighBit = stored, high

    write_series(3, change=change)
    (sample,) = ingest().samples
    np.testing.assert_array_equal(sample.arrays["image"][0, 1], values)


@pytest.mark.parametrize(
    "written", [b"1.0 ", b" 1", b"+1", b"1e0 ", b"1\0", b"1\\1", b"1.000", b"", b"first "]
)
def test_instance_numbers_as_scanners_write_them(write_series, ingest, tmp_path, written):
    write_series(3)
    for path in (tmp_path / "source" / "a").iterdir():
        raw = path.read_bytes()
        at = raw.index(b"\x20\x00\x13\x00IS") + 6
        size = int.from_bytes(raw[at : at + 2], "little")
        padded = written + b" " * (len(written) % 2)
        path.write_bytes(
            raw[:at] + len(padded).to_bytes(2, "little") + padded + raw[at + 2 + size :]
        )
    assert len(ingest().samples) == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [(b"2.0", 2), (b"+2E+00 ", 2), (b" 2 ", 2), (b"2\\2 ", 2), (b"2.\0", 2), (b"0.2e1", 2)],
)
def test_decimal_strings_as_scanners_write_them(
    write_series, ingest, tmp_path, stored_plane, written, expected
):
    write_series(3, RescaleSlope="9", RescaleIntercept=0)
    for path in (tmp_path / "source" / "a").iterdir():
        raw = path.read_bytes()
        padded = written + b" " * (len(written) % 2)
        old = b"\x28\x00\x53\x10DS\x02\x009 "
        assert old in raw
        new = old[:6] + len(padded).to_bytes(2, "little") + padded
        path.write_bytes(raw.replace(old, new))
    (sample,) = ingest().samples
    np.testing.assert_array_equal(sample.arrays["image"][0, 1], stored_plane(1) * expected)


@pytest.mark.parametrize("written", [b"1_0 ", b"1,5 ", b"2\\3 ", b"nan ", b"0x10"])
def test_what_is_no_decimal_string_is_refused(write_series, ingest, tmp_path, written):
    write_series(3, RescaleSlope="9")
    for path in (tmp_path / "source" / "a").iterdir():
        old = b"\x28\x00\x53\x10DS\x02\x009 "
        path.write_bytes(path.read_bytes().replace(old, old[:6] + b"\x04\0" + written))
    assert ingest().codes == {"bad-value": 3}


@pytest.mark.parametrize("mark", ["type", "private", "xa", "grid"])
def test_slices_tiled_in_one_picture_are_refused_by_name(write_series, ingest, mark):
    def change(data, index):
        data.Modality = "MR"
        if mark == "type":
            data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        elif mark == "private":
            data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 36)
        elif mark == "xa":
            block = data.private_block(0x0021, "SIEMENS MR SDR 01", create=True)
            block = data.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
            block.add_new(0x75, "CS", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
        else:
            data.private_block(0x0065, "Image Private Header", create=True).add_new(0x50, "DS", 36)

    write_series(3, change=change)
    found = ingest()
    assert found.codes == {"mosaic": 3}
    assert "MOSAIC" in found.refused[0].reason


@pytest.mark.parametrize(
    ("charset", "written", "told"),
    [
        ("ISO_IR 100", "Müller".encode("latin-1"), "Müller"),
        ("ISO_IR 192", "Müller".encode(), "Müller"),
        ("ISO_IR 144", "Любовь".encode("iso8859-5"), "Любовь"),
        ("GB18030", "王小东".encode("gb18030"), "王小东"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "山田"),
        ("ISO_IR 192", b"M\xfcller", "Müller"),
        ("ISO_IR 999", b"M\xfcller", "Müller"),
        ("", b"M\xfcller", "Müller"),
        ("", "Müller".encode(), "Müller"),
    ],
)
def test_text_is_read_in_its_character_set(write_series, ingest, tmp_path, charset, written, told):
    write_series(3, PatientID="x" * 16, SpecificCharacterSet="ISO 2022 IR 100")
    for path in (tmp_path / "source" / "a").iterdir():
        raw = path.read_bytes()
        assert raw.count(b"x" * 16) == raw.count(b"ISO 2022 IR 100 ") == 1
        raw = raw.replace(b"ISO 2022 IR 100 ", charset.encode().ljust(16))
        path.write_bytes(raw.replace(b"x" * 16, written.ljust(16)))
    (sample,) = ingest().samples
    assert sample.row["subject"] == told
