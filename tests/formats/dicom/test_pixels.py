"""Pixels: every syntax decodes to the same values, values stay exact, and lies are refused."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from medray.errors import DataError
from medray.formats.dicom.headers.headers import Limits
from medray.formats.dicom.pixels.pixels import _decoded
from medray.formats.dicom.volume import Volume


def big_endian(data, index):
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()


def implicit(data, index):
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def compressed(syntax):
    def change(data, index):
        data.BitsStored, data.HighBit = 12, 11
        data.compress(syntax, generate_instance_uid=False)

    return change


def jpeg_2000(data, index):
    # By Pillow, since pydicom's own encoder wants another package.
    plane = np.frombuffer(data.PixelData, "<u2").reshape(data.Rows, data.Columns)
    encoded = BytesIO()
    Image.fromarray(plane).save(encoded, "JPEG2000", no_jp2=True, irreversible=False)
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.PixelData = encapsulate([encoded.getvalue()])
    data["PixelData"].is_undefined_length = True


@pytest.mark.parametrize(
    "change",
    [big_endian, implicit, compressed(RLELossless), compressed(JPEGLSLossless), jpeg_2000],
    ids=["big-endian", "implicit", "rle", "jpeg-ls", "jpeg-2000"],
)
def test_every_syntax_decodes_to_the_same_hounsfield_units(
    write_series, ingest, stored_plane, change
):
    write_series(3, change=change)
    (sample,) = ingest().samples
    image = sample.arrays["image"]
    assert image.dtype == np.int16
    expected = np.stack([stored_plane(index).astype(int) - 1024 for index in range(3)])
    np.testing.assert_array_equal(image[0], expected)


def test_a_decoder_that_is_absent_is_said_to_be(write_series, ingest, monkeypatch):
    from pydicom.pixels.decoders.base import Decoder

    monkeypatch.setattr(Decoder, "available_plugins", property(lambda self: ()))
    write_series(3, change=compressed(JPEGLSLossless))
    (error,) = ingest().errors
    assert error.code == "missing-decoder"


def test_rescale_is_per_slice_and_integers_stay_exact(write_series, ingest, stored_plane):
    def change(data, index):
        data.RescaleSlope, data.RescaleIntercept = index + 1, -10 * index

    write_series(3, change=change)
    (sample,) = ingest().samples
    expected = [stored_plane(i).astype(int) * (i + 1) - 10 * i for i in range(3)]
    assert sample.arrays["image"].dtype == np.int16
    np.testing.assert_array_equal(sample.arrays["image"][0], np.stack(expected))


def test_a_fractional_slope_gives_float32(write_series, ingest, stored_plane):
    write_series(3, RescaleSlope=0.25, RescaleIntercept=1)
    (sample,) = ingest().samples
    image = sample.arrays["image"]
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[0, 2], stored_plane(2) * 0.25 + 1)


@pytest.mark.parametrize(
    ("planes", "dtype"),
    [
        ([(0, 1, 0), (32767, 1, 0)], np.int16),
        ([(65535, 1, -32768), (0, 1, -32768)], np.int16),
        ([(0, 1, 0), (32768, 1, 0)], np.int32),
        ([(60000, 2, 0), (0, 1, 0)], np.int32),
        ([(5, 1, 0), (5, 0.5, 0)], np.float32),
        ([(60000, 2, 0), (5, 0.5, 0), (60000, 2, 0)], np.float32),
    ],
)
def test_the_type_is_the_narrowest_exact_one(planes, dtype):
    for order in (planes, planes[::-1]):
        volume = Volume((1, len(order), 2, 2))
        for index, (value, slope, intercept) in enumerate(order):
            volume.put(index, np.full((1, 2, 2), value, np.uint16), slope, intercept)
        assert volume.array.dtype == dtype
        assert volume.ends == (volume.array.min(), volume.array.max())
        expected = [value * slope + intercept for value, slope, intercept in order]
        assert volume.array[0, :, 0, 0].tolist() == expected


def test_signed_pixels_and_a_huge_intercept_do_not_wrap():
    volume = Volume((1, 1, 1, 2))
    volume.put(0, np.array([[[-32768, 0]]], np.int16), 1, 40000)
    assert volume.array.ravel().tolist() == [7232, 40000]


def test_ends_are_those_of_the_array_after_rounding():
    volume = Volume((1, 3, 1, 1))
    volume.put(0, np.array([[[2**24 + 1]]], np.uint32), 1, 0)
    volume.put(1, np.array([[[1]]], np.uint16), 0.1, 0)
    volume.put(2, np.array([[[-(2**24) - 1]]], np.int32), 1, 0)
    assert volume.array.dtype == np.float32
    assert volume.ends == (volume.array.min(), volume.array.max()) == (-(2.0**24), 2.0**24)
    tenth = Volume((1, 1, 1, 1))
    tenth.put(0, np.array([[[1]]], np.uint16), 0.1, 0)
    assert tenth.ends == (np.float32(0.1), np.float32(0.1))


def test_values_beyond_32_bits_are_refused():
    volume = Volume((1, 1, 1, 1))
    with pytest.raises(DataError, match="32 bits"):
        volume.put(0, np.array([[[60000]]], np.uint16), 100000, 0)


def test_slices_of_another_size_are_refused(write_series, ingest):
    def change(data, index):
        if index == 2:
            data.Rows, data.Columns = 6, 4

    write_series(4, change=change)
    assert ingest().codes == {"mixed-size": 4}


def test_a_volume_beyond_the_limit_is_refused_before_allocating():
    with pytest.raises(DataError, match="a volume of"):
        Volume((1, 10**6, 10**5, 10**5), Limits())


def test_monochrome1_is_turned_for_radiographs_and_kept_for_hounsfield_units(
    write_series, ingest, stored_plane
):
    write_series(3, PhotometricInterpretation="MONOCHROME1", RescaleIntercept=0)
    (sample,) = ingest().samples
    np.testing.assert_array_equal(sample.arrays["image"][0, 1], stored_plane(1))
    write_series(3, PhotometricInterpretation="MONOCHROME1", RescaleIntercept=0, Modality="DX")
    (sample,) = ingest(select={"modality": ["DX"]}).samples
    np.testing.assert_array_equal(sample.arrays["image"][0, 1], 65535 - stored_plane(1).astype(int))


def test_enhanced_frames_take_place_and_rescale_from_their_own_groups(
    write_series, ingest, stored_plane
):
    def group(index, slope):
        item, position, value = Dataset(), Dataset(), Dataset()
        # Stored from the last slice to the first.
        position.ImagePositionPatient = [0, 0, 10.0 - 5 * index]
        value.RescaleSlope, value.RescaleIntercept = slope, 0
        item.PlanePositionSequence = Sequence([position])
        item.PixelValueTransformationSequence = Sequence([value])
        return item

    def change(data, index):
        data.SOPClassUID, data.Modality = EnhancedMRImageStorage, "MR"
        shared, orientation, measures = Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient = data.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, 5
        shared.PlaneOrientationSequence = Sequence([orientation])
        shared.PixelMeasuresSequence = Sequence([measures])
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(data, keyword)
        data.SharedFunctionalGroupsSequence = Sequence([shared])
        data.PerFrameFunctionalGroupsSequence = Sequence([group(i, i + 1) for i in range(3)])
        data.NumberOfFrames = 3
        data.PixelData = b"".join(stored_plane(i).tobytes() for i in range(3))

    write_series(1, change=change)
    (sample,) = ingest().samples
    expected = np.stack([stored_plane(i).astype(int) * (i + 1) for i in (2, 1, 0)])
    np.testing.assert_array_equal(sample.arrays["image"][0], expected)
    assert sample.row["spacing_mm"] == [5, 2, 3]


def test_functional_groups_that_do_not_match_the_frames_are_refused(write_series, ingest):
    def change(data, index):
        data.PerFrameFunctionalGroupsSequence = Sequence([Dataset(), Dataset()])

    write_series(3, change=change)
    assert ingest().codes == {"frame-count": 3}


def test_a_codestream_larger_than_the_header_is_refused(write_series, ingest):
    def change(data, index):
        jpeg_2000(data, index)
        # The size of the reference grid, behind SOC, SIZ, its length and capabilities.
        at = data.PixelData.index(b"\xff\x4f\xff\x51") + 8
        data.PixelData = (
            data.PixelData[:at] + (40000).to_bytes(4, "big") * 2 + data.PixelData[at + 8 :]
        )

    write_series(3, change=change)
    (error,) = ingest().errors
    assert error.code == "codestream-mismatch"


def test_compressed_frames_that_end_early_are_truncated(write_series, ingest, tmp_path):
    write_series(4, change=compressed(JPEGLSLossless))
    path = tmp_path / "source" / "a" / "IM002"
    path.write_bytes(path.read_bytes()[:-30])
    (error,) = ingest().errors
    assert error.code == "truncated-pixels"


def test_what_a_decoder_chokes_on_is_not_repeated():
    class Chokes:
        def as_array(self, source, *, decoding_plugin):
            raise RuntimeError("CANARY")

    with pytest.raises(DataError, match="pillow: RuntimeError") as caught:
        _decoded(Chokes(), "pillow", b"", {})
    assert "CANARY" not in str(caught.value)
