"""One picture has one set of values, whatever colour space and syntax it is stored in."""

from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from .lossless import encode

YBR = np.random.default_rng(1).integers(60, 190, (4, 6, 3), np.uint8)
RGB = convert_color_space(YBR, "YBR_FULL", "RGB")
"""The same picture: from luminance and chrominance, so that both forms of it are exact."""


def put(data, pixels, photometric, syntax=None, planar=0):
    data.SamplesPerPixel, data.PhotometricInterpretation = 3, photometric
    data.PlanarConfiguration, data.RescaleIntercept = planar, 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    if syntax is not None:
        data.file_meta.TransferSyntaxUID = syntax
        pixels = encapsulate([pixels])
    data.PixelData = pixels
    if syntax is not None:
        data["PixelData"].is_undefined_length = True


def jpeg_2000(picture, *, transformed):
    return imagecodecs.jpeg2k_encode(
        picture, level=0, codecformat="j2k", reversible=True, mct=transformed
    )


def rle(picture, photometric):
    def change(data):
        put(data, picture.tobytes(), photometric)
        data.compress(RLELossless, generate_instance_uid=False)

    return change


def big_endian(data):
    put(data, RGB.tobytes(), "RGB")
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    data["PixelData"].VR = "OB"


FORMS = {
    "rgb": lambda data: put(data, RGB.tobytes(), "RGB"),
    "rgb by plane": lambda data: put(data, RGB.transpose(2, 0, 1).tobytes(), "RGB", planar=1),
    "rgb big endian": big_endian,
    "ybr": lambda data: put(data, YBR.tobytes(), "YBR_FULL"),
    "ybr by plane": lambda data: put(data, YBR.transpose(2, 0, 1).tobytes(), "YBR_FULL", planar=1),
    "rle": rle(RGB, "RGB"),
    "rle ybr": rle(YBR, "YBR_FULL"),
    "jpeg 2000 rct": lambda data: put(
        data, jpeg_2000(RGB, transformed=True), "YBR_RCT", JPEG2000Lossless
    ),
    "jpeg 2000 rct, said to be rgb": lambda data: put(
        data, jpeg_2000(RGB, transformed=True), "RGB", JPEG2000Lossless
    ),
    "jpeg 2000 rgb": lambda data: put(
        data, jpeg_2000(RGB, transformed=False), "RGB", JPEG2000Lossless
    ),
    "jpeg 2000 ybr": lambda data: put(
        data, jpeg_2000(YBR, transformed=False), "YBR_FULL", JPEG2000Lossless
    ),
    "jpeg-ls": lambda data: put(data, imagecodecs.jpegls_encode(RGB), "RGB", JPEGLSLossless),
    "jpeg-ls ybr": lambda data: put(
        data, imagecodecs.jpegls_encode(YBR), "YBR_FULL", JPEGLSLossless
    ),
    "jpeg lossless": lambda data: put(data, encode(RGB, 8), "RGB", JPEGLosslessSV1),
    "jpeg lossless ybr": lambda data: put(data, encode(YBR, 8), "YBR_FULL", JPEGLosslessSV1),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_picture_has_the_same_values_in_every_form(write_series, ingest, form):
    made = write_series(3, change=lambda data, index: FORMS[form](data))
    (sample,) = ingest().samples
    assert sample.row["photometric"] == "RGB"
    np.testing.assert_array_equal(sample.arrays["image"][:, 1], RGB.transpose(2, 0, 1))
    if "said" not in form:
        np.testing.assert_array_equal(made[1].pixel_array, RGB)


@pytest.mark.filterwarnings("ignore:The .* value is")
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2"])
@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL"])
def test_lossy_jpeg_is_as_pydicom_decodes_it(write_series, ingest, subsampling, photometric):
    encoded = BytesIO()
    Image.fromarray(RGB).save(encoded, "JPEG", quality=90, subsampling=subsampling)
    made = write_series(
        3, change=lambda data, i: put(data, encoded.getvalue(), photometric, JPEGBaseline8Bit)
    )
    (sample,) = ingest().samples
    expected = made[1].pixel_array
    np.testing.assert_array_equal(sample.arrays["image"][:, 1], expected.transpose(2, 0, 1))


def test_chrominance_of_two_pixels_at_once(write_series, ingest):
    half = YBR.reshape(4, 3, 2, 3)  # pairs along a row share Cb and Cr
    stored = np.concatenate([half[..., 0], half[:, :, :1, 1:].reshape(4, 3, 2)], axis=2)
    write_series(3, change=lambda data, index: put(data, stored.tobytes(), "YBR_FULL_422"))
    (sample,) = ingest().samples
    shared = np.repeat(half[:, :, :1, 1:], 2, axis=2).reshape(4, 6, 2)
    whole = np.concatenate([YBR[..., :1], shared], axis=2)
    expected = convert_color_space(whole, "YBR_FULL", "RGB").transpose(2, 0, 1)
    np.testing.assert_array_equal(sample.arrays["image"][:, 1], expected)


@pytest.mark.parametrize(("entries", "first", "bits"), [(256, 0, 16), (24, 5, 16), (256, 0, 8)])
def test_a_palette_becomes_colours_as_pydicom_makes_them(
    write_series, ingest, entries, first, bits
):
    rng = np.random.default_rng(2)
    tables = rng.integers(0, 1 << bits, (3, entries)).astype("<u2" if bits > 8 else "u1")

    def change(data, index):
        data.PhotometricInterpretation, data.RescaleIntercept = "PALETTE COLOR", 0
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit = 7
        data.PixelData = np.arange(24, dtype="u1").tobytes()
        for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
            name = f"{colour}PaletteColorLookupTable"
            data.add_new(f"{name}Descriptor", "US", [entries, first, bits])
            setattr(data, f"{name}Data", table.tobytes())

    made = write_series(3, change=change)
    (sample,) = ingest().samples
    assert sample.row["photometric"] == "RGB"
    expected = apply_color_lut(made[1].pixel_array, made[1])
    np.testing.assert_array_equal(sample.arrays["image"][:, 1], expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("photometric", "samples"), [("PALETTE COLOR", 1), ("YBR_PARTIAL_420", 3), ("RGB", 1)]
)
def test_what_cannot_become_colours_is_refused(write_series, ingest, photometric, samples):
    def change(data, index):
        put(data, RGB.tobytes(), photometric)
        data.SamplesPerPixel = samples
        data.PixelData = data.PixelData[: 24 * samples]

    write_series(3, change=change)
    found = ingest()
    assert {error.code for error in found.errors} | set(found.codes) == {"unsupported-pixels"}
