"""From the bytes of a file to stored values, and from stored values to one volume.

Uncompressed little-endian pixels are viewed in place. Everything else goes through pydicom's
decoders (pylibjpeg-openjpeg, pyjpegls, Pillow, RLE; JPEG Lossless by GDCM), after the size that a
compressed frame claims for itself was held against the header: decoders allocate by that claim.
"""

import math
import struct
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom import tags
from medray.formats.dicom.elements import UNDEFINED
from medray.formats.dicom.headers import DEFLATED, EXPLICIT_VR_BIG, LIMITS, NATIVE, Header, Limits

JPEG_2000 = "1.2.840.10008.1.2.4.9"
RLE = "1.2.840.10008.1.2.5"
JPEG_FAMILY = "1.2.840.10008.1.2.4."

PHOTOMETRIC = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
)

# Third-party decoders raise all of these on damaged frames; the message may quote the file.
DECODER_FAULTS = (
    ArithmeticError,
    AttributeError,
    BufferError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


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
        if self.rows == 0 or self.columns == 0 or self.frames < 1:
            raise DataError("an image of no rows, columns or frames", code="bad-pixel-header")
        if self.samples not in (1, 3) or not 0 < self.stored <= self.allocated:
            raise DataError("samples or bits per pixel make no sense", code="bad-pixel-header")
        high = top.unsigned(tags.HIGH_BIT, self.stored - 1)
        if self.tag == tags.PIXEL_DATA and (
            self.allocated not in (8, 16, 32)
            or high != self.stored - 1
            or self.photometric not in PHOTOMETRIC
        ):
            raise DataError(
                f"{self.allocated} bits allocated, {self.stored} stored, photometric "
                f"interpretation {'known' if self.photometric in PHOTOMETRIC else 'unsupported'}",
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
    """Decode the stored values of all frames, before rescaling; colours are not converted.

    Args:
        header: of the file.
        buffer: that its offsets count in, from `headers.load`.
        limits: sizes to refuse.

    Returns:
        Array (frames, samples, rows, columns), often a read-only view of `buffer`, and the layout.

    Raises:
        DataError: of `Layout`; "missing-decoder", "undecodable", "codestream-mismatch",
            "unused-bits" (values outside BitsStored), "nonfinite-pixels".
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
    simple = layout.samples == 1 and header.syntax in NATIVE - {EXPLICIT_VR_BIG}
    if simple:
        dtype = np.dtype(f"<{'i' if layout.signed else 'u'}{layout.allocated // 8}")
        values = _view(buffer, layout, dtype).reshape(shape)
        if layout.stored < layout.allocated:
            _check_bits(values, layout)
    else:
        values = _by_pydicom(header, buffer, layout).reshape(shape)
    return values.transpose(0, 3, 1, 2), layout


def _view(buffer: bytes, layout: Layout, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    count = layout.frames * layout.rows * layout.columns * layout.samples
    return np.frombuffer(buffer, dtype, count, layout.start)


def _check_bits(values: npt.NDArray[Any], layout: Layout) -> None:
    # Bits above BitsStored hold overlays in old files and padding in others: which of the two
    # cannot be known, and both would be wrong as intensities.
    low, high = stored_range(layout)
    if int(values.max()) > high or int(values.min()) < low:
        raise DataError(
            f"values need more than the {layout.stored} bits that the header announces",
            code="unused-bits",
            hint="clear the unused bits, or correct BitsStored",
        )


def stored_range(layout: Layout) -> tuple[int, int]:
    """Smallest and largest value that BitsStored can hold."""
    if layout.signed:
        return -(1 << (layout.stored - 1)), (1 << (layout.stored - 1)) - 1
    return 0, (1 << layout.stored) - 1


def _by_pydicom(header: Header, buffer: bytes, layout: Layout) -> npt.NDArray[Any]:
    # Imported here: uncompressed trees, and the planning of any tree, never need it.
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import ExplicitVRLittleEndian

    # The buffer of a deflated file is already inflated.
    native = header.syntax in NATIVE
    syntax = ExplicitVRLittleEndian if header.syntax == DEFLATED else header.syntax
    end = layout.start + layout.length if native else len(buffer)
    source = buffer[layout.start : end]
    try:
        decoder = get_decoder(syntax)
        available = decoder.is_available
    except NotImplementedError:
        raise DataError("no decoder for this transfer syntax", code="missing-decoder") from None
    if not available:
        raise DataError(
            "this transfer syntax needs a decoder that is not installed",
            code="missing-decoder",
            hint="pip install 'medray[gdcm]'",
        )
    if not native:
        _check_codestreams(source, header.syntax, layout)
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": layout.frames,
        "samples_per_pixel": layout.samples,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OB" if layout.as_bytes else "OW",
    }
    try:
        with warnings.catch_warnings():
            # pydicom's warnings about odd headers repeat values from the file.
            warnings.simplefilter("ignore")
            values, _ = decoder.as_array(source, raw=True, **options)
    except DECODER_FAULTS as error:
        raise DataError(
            f"the decoder refused the pixels ({type(error).__name__})", code="undecodable"
        ) from None
    if values.size != layout.frames * layout.rows * layout.columns * layout.samples:
        raise DataError("the decoder returned another size", code="codestream-mismatch")
    return values


def _check_codestreams(source: bytes, syntax: str, layout: Layout) -> None:
    from pydicom.encaps import generate_frames

    try:
        encoded = list(generate_frames(source, number_of_frames=layout.frames))
    except DECODER_FAULTS as error:
        raise DataError(
            f"the fragments of the pixels are damaged ({type(error).__name__})",
            code="undecodable",
        ) from None
    if len(encoded) != layout.frames:
        raise DataError(
            f"{len(encoded)} of {layout.frames} frames are there", code="truncated-pixels"
        )
    for frame in encoded:
        if syntax == RLE:
            # PackBits grows by 1/128 at worst; a run of 2 bytes can become 128, so an oversized
            # frame could fill memory.
            if len(frame) > 2 * layout.frame_bytes + 1024:
                raise DataError("an RLE frame larger than its pixels", code="codestream-mismatch")
        elif syntax.startswith(JPEG_FAMILY):
            claimed = _claimed_size(frame, syntax)
            if claimed != (layout.rows, layout.columns, layout.samples):
                raise DataError(
                    "a compressed frame is of another size than the header says",
                    code="codestream-mismatch",
                )


def _claimed_size(frame: bytes, syntax: str) -> tuple[int, int, int] | None:
    """Rows, columns and samples that a JPEG, JPEG-LS or JPEG 2000 codestream claims."""
    if syntax.startswith(JPEG_2000):
        # The SIZ marker follows the start of the codestream (ISO 15444-1, A.5.1), which JP2 boxes
        # may precede.
        at = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
        if at < 0 or at + 42 > len(frame):
            return None
        x1, y1, x0, y0 = struct.unpack_from(">4L", frame, at + 8)
        return y1 - y0, x1 - x0, int.from_bytes(frame[at + 40 : at + 42], "big")
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
            continue
        # Start of frame: SOF0..SOF15 without DHT, JPG and DAC; SOF55 is JPEG-LS.
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns, samples = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, samples
        at += 2 + length
    return None


class Volume:
    """A stack of rescaled slices, integers for as long as they are exact.

    int16 where all values fit, else int32; float32 once a slope or an intercept is no integer.
    The type depends on the values alone, so every worker and every order gives the same.

    Args:
        shape: (C, Z, Y, X).
        limits: sizes to refuse.
    """

    def __init__(self, shape: tuple[int, int, int, int], limits: Limits = LIMITS) -> None:
        if math.prod(shape) * 4 > limits.sample_bytes:
            raise DataError(f"a volume of {shape}", code="too-large")
        self.array: npt.NDArray[Any] = np.empty(shape, np.int16)

    def put(self, index: int, stored: npt.NDArray[Any], slope: float, intercept: float) -> None:
        """Set slice `index` along Z to stored * slope + intercept; `stored` is (C, Y, X).

        Raises:
            DataError: "mixed-size" (another shape), "value-range" (beyond 32 bits).
        """
        if stored.shape != (self.array.shape[0], *self.array.shape[2:]):
            raise DataError("slices of one series differ in size", code="mixed-size")
        exact = stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer()
        if not exact:
            self._widen(np.dtype(np.float32))
            self.array[:, index] = stored * np.float64(slope) + intercept
            return
        ends = [int(value) * int(slope) + int(intercept) for value in (stored.min(), stored.max())]
        low, high = min(ends), max(ends)
        if low < -(2**31) or high >= 2**31:
            raise DataError("rescaled values need more than 32 bits", code="value-range")
        if low < -(2**15) or high >= 2**15:
            self._widen(np.dtype(np.int32))
        out = self.array[:, index]
        if slope == 1 and out.dtype == np.int16 and stored.dtype.itemsize == 2:
            # Addition modulo 2**16 is exact, since the sum is known to fit.
            np.add(stored.view(np.int16), np.int16(_wrapped(int(intercept))), out=out)
        else:
            out[...] = stored.astype(np.int64) * int(slope) + int(intercept)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        if self.array.dtype != np.float32 and self.array.dtype != dtype:
            self.array = self.array.astype(dtype)


def _wrapped(value: int) -> int:
    return (value + 2**15) % 2**16 - 2**15
