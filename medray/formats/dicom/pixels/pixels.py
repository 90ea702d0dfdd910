"""From the bytes of a file to stored values, and from stored values to one volume.

Uncompressed little-endian pixels are viewed in place. Everything else goes through pydicom with one
decoder for each transfer syntax, whatever else is installed, after the size that a compressed frame
claims for itself was held against the header: decoders allocate by that claim.
"""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import UNDEFINED
from medray.formats.dicom.headers.headers import (
    DEFLATED,
    EXPLICIT_VR_BIG,
    LIMITS,
    NATIVE,
    Header,
    Limits,
)
from medray.formats.dicom.pixels.codestream import (
    DECODER_FAULTS,
    RLE,
    check_codestreams,
    fragments_end,
)

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
COLOURS = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})
DECODERS = {
    RLE: "pydicom",
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": "imagecodecs",
    "1.2.840.10008.1.2.4.57": "imagecodecs",
    "1.2.840.10008.1.2.4.70": "imagecodecs",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
} | dict.fromkeys((f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)), "pylibjpeg")
"""The plugin of pydicom that decodes each compressed syntax."""


class Layout:
    """Shape and type of a file's pixels, checked before anything is allocated.

    Raises:
        DataError: "no-pixels", "bad-pixel-header", "too-large", "unsupported-pixels",
            "truncated-pixels", "pixel-size-mismatch".
    """

    def __init__(self, header: Header, limits: Limits = LIMITS) -> None:
        top = header.elements
        if header.pixels is None:
            raise DataError("the file holds no pixels", code="no-pixels")
        self.tag, self.start, self.length, self.as_bytes = header.pixels
        self.frames = header.frames
        self.rows = top.unsigned(tags.ROWS, 0)
        self.columns = top.unsigned(tags.COLUMNS, 0)
        self.samples = top.unsigned(tags.SAMPLES_PER_PIXEL, 1)
        self.allocated = top.unsigned(tags.BITS_ALLOCATED, 0)
        self.stored = top.unsigned(tags.BITS_STORED, self.allocated)
        self.signed = top.unsigned(tags.PIXEL_REPRESENTATION, 0) == 1
        self.planar = top.unsigned(tags.PLANAR_CONFIGURATION, 0)
        self.photometric = top.text(tags.PHOTOMETRIC_INTERPRETATION) or "MONOCHROME2"
        known = self.photometric in (GREY if self.samples == 1 else COLOURS)
        if self.rows == 0 or self.columns == 0 or self.frames < 1:
            raise DataError("an image of no rows, columns or frames", code="bad-pixel-header")
        if self.samples not in (1, 3) or not 0 < self.stored <= self.allocated:
            raise DataError("samples or bits per pixel make no sense", code="bad-pixel-header")
        self.high = top.unsigned(tags.HIGH_BIT, self.stored - 1)
        # Words as they are: the highest bit may stand anywhere. A codestream holds only the bits
        # that are stored.
        self.words = self.samples == 1 and header.syntax in NATIVE | {RLE}
        anywhere = range(self.stored - 1, self.allocated if self.words else self.stored)
        if self.tag == tags.PIXEL_DATA and (
            self.allocated not in (8, 16, 32) or self.high not in anywhere or not known
        ):
            raise DataError(
                f"{self.allocated} bits allocated, {self.stored} stored, the highest is "
                f"{self.high}, photometric interpretation {'known' if known else 'unsupported'}",
                code="unsupported-pixels",
            )
        self.frame_bytes = self.rows * self.columns * self.samples * self.allocated // 8
        pixels = self.rows * self.columns
        if pixels > limits.frame_pixels or self.frame_bytes * self.frames > limits.sample_bytes:
            raise DataError(
                f"{self.frames} frames of {self.rows} x {self.columns} x {self.samples}",
                code="too-large",
                hint="raise the format's limits if this is no damage",
            )
        if header.syntax in NATIVE:
            self._fit(header.size)
        elif self.length != UNDEFINED:
            raise DataError("compressed pixels without fragments", code="bad-pixel-header")

    def _fit(self, size: int) -> None:
        expected = self.frame_bytes * self.frames
        if self.photometric == "YBR_FULL_422":
            expected = expected // 3 * 2
        if self.length == UNDEFINED or self.length > expected + max(self.frame_bytes, 2):
            raise DataError("more pixel data than the header explains", code="pixel-size-mismatch")
        if self.length < expected or self.start + self.length > size:
            have = max(0, min(self.length, size - self.start))
            raise DataError(
                f"{have} of {expected} bytes of pixels are there",
                code="truncated-pixels",
                hint="fetch the file again",
            )


def decode(
    header: Header, buffer: bytes, limits: Limits = LIMITS
) -> tuple[npt.NDArray[Any], Layout]:
    """Decode the stored values of all frames, before rescaling; colours become RGB.

    Bits above and below those that are stored are no part of a value (PS3.5, 8.1.1): old files hold
    overlays there.

    Args:
        header: of the file.
        buffer: that its offsets count in, from `headers.load`.
        limits: sizes to refuse.

    Returns:
        Array (frames, samples, rows, columns), often a read-only view of `buffer`, and the layout.

    Raises:
        DataError: of `Layout`; "missing-decoder", "undecodable", "codestream-mismatch",
            "nonfinite-pixels".
    """
    layout = Layout(header, limits)
    shape = (layout.frames, layout.rows, layout.columns, layout.samples)
    if layout.tag != tags.PIXEL_DATA:
        kind = "f4" if layout.tag == tags.FLOAT_PIXEL_DATA else "f8"
        if header.syntax not in NATIVE or layout.allocated != int(kind[1]) * 8:
            raise DataError("float pixels of another width", code="unsupported-pixels")
        order = ">" if header.syntax == EXPLICIT_VR_BIG else "<"
        values = _view(buffer, layout, np.dtype(order + kind)).reshape(shape)
        if not np.isfinite(values).all():
            raise DataError("the pixels hold NaN or infinity", code="nonfinite-pixels")
        return values.transpose(0, 3, 1, 2), layout
    if layout.words and header.syntax in NATIVE - {EXPLICIT_VR_BIG}:
        values = _view(buffer, layout, np.dtype(f"<u{layout.allocated // 8}"))
    else:
        values = _by_pydicom(header, buffer, layout)
    if layout.words:
        values = _stored_bits(values, layout)
    return values.reshape(shape).transpose(0, 3, 1, 2), layout


def _view(buffer: bytes, layout: Layout, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    count = layout.frames * layout.rows * layout.columns * layout.samples
    return np.frombuffer(buffer, dtype, count, layout.start)


def _stored_bits(words: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """The stored bits of unsigned words, with their sign."""
    below, above = layout.high + 1 - layout.stored, layout.allocated - 1 - layout.high
    values = words.view(f"i{words.itemsize}") if layout.signed else words
    low, high = stored_range(layout)
    clean = not (above or below)
    if clean or (not below and low <= int(values.min()) and int(values.max()) <= high):
        return values
    # Of signed integers a shift to the right repeats the sign.
    return (values << above) >> (above + below)


def stored_range(layout: Layout) -> tuple[int, int]:
    """Smallest and largest value that BitsStored can hold."""
    if layout.signed:
        return -(1 << (layout.stored - 1)), (1 << (layout.stored - 1)) - 1
    return 0, (1 << layout.stored) - 1


def _by_pydicom(header: Header, buffer: bytes, layout: Layout) -> npt.NDArray[Any]:
    # Imported here: uncompressed trees, and the planning of any tree, never need it.
    from pydicom.config import logger
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import ExplicitVRLittleEndian

    from medray.formats.dicom.pixels.jpeg import register

    # pydicom logs what it chokes on, values of headers included; the root logger must not get it.
    logger.propagate = False
    # The buffer of a deflated file is already inflated.
    native = header.syntax in NATIVE
    syntax = ExplicitVRLittleEndian if header.syntax == DEFLATED else header.syntax
    end = layout.start + layout.length if native else fragments_end(buffer, layout.start)
    source = buffer[layout.start : end]
    if not native and header.syntax not in DECODERS:
        raise DataError("no decoder for this transfer syntax", code="missing-decoder")
    decoder = get_decoder(syntax)
    register(decoder)
    if not native and DECODERS[header.syntax] not in decoder.available_plugins:
        raise DataError(
            "this transfer syntax needs a decoder that is not installed",
            code="missing-decoder",
            hint="install medray again, with all it depends on",
        )
    if not native:
        check_codestreams(
            source,
            header.syntax,
            layout.frames,
            layout.frame_bytes,
            (layout.rows, layout.columns, layout.samples),
        )
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": layout.frames,
        "samples_per_pixel": layout.samples,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.allocated if layout.words else layout.stored,
        "pixel_representation": int(layout.signed and not layout.words),
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OB" if layout.as_bytes else "OW",
    }
    values = _decoded(decoder, DECODERS.get(header.syntax, ""), source, options)
    if values.size != layout.frames * layout.rows * layout.columns * layout.samples:
        raise DataError("the decoder returned another size", code="codestream-mismatch")
    native_order = values.dtype.newbyteorder("=")
    return values.astype(native_order, copy=False)


def _decoded(
    decoder: "Decoder", plugin: str, source: bytes, options: dict[str, Any]
) -> npt.NDArray[Any]:
    try:
        with warnings.catch_warnings():
            # pydicom's warnings about odd headers repeat values from the file.
            warnings.simplefilter("ignore")
            return decoder.as_array(source, decoding_plugin=plugin, **options)[0]
    except DECODER_FAULTS as error:
        raise DataError(
            f"the decoder refused the pixels ({plugin or 'pydicom'}: {type(error).__name__})",
            code="undecodable",
        ) from None
