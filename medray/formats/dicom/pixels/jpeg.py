"""JPEG lossless and 12-bit JPEG for pydicom, which hospitals have and its own plugins lack.

By libjpeg-turbo 3 in imagecodecs (BSD): 2 to 16 bits, predictors 1 to 7, point transform, restart
intervals. Its two other decoders are no choice: `ljpeg` gives wrong values for point transforms and
restart intervals without a word, and `jpegsof3` leaves the point transform out. libjpeg fills up a
stream that breaks off, so the end of each frame is looked for before (see `codestream`).
"""

from typing import TYPE_CHECKING

from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder, DecodeRunner

NAME = "imagecodecs"
DECODER_DEPENDENCIES = dict.fromkeys(
    (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), ("imagecodecs>=2026.3",)
)


def is_available(uid: str) -> bool:
    """Whether this decodes a transfer syntax; asked by pydicom."""
    return uid in DECODER_DEPENDENCIES


def register(decoder: "Decoder") -> None:
    """Make this one of the plugins of a decoder of its syntaxes."""
    if is_available(decoder.UID) and NAME not in decoder.available_plugins:
        decoder.add_plugin(NAME, (__name__, "decode_frame"))


def decode_frame(source: bytes, runner: "DecodeRunner") -> bytes:
    """Decode one frame, colours as they are stored; called by pydicom.

    Raises:
        ValueError: the frame is no JPEG of the announced size.
    """
    import imagecodecs

    # The same name on both sides: no conversion.
    colours = "RGB" if runner.samples_per_pixel == 3 else None
    decoded = imagecodecs.jpeg8_decode(source, colorspace=colours, outcolorspace=colours)
    shape = (runner.rows, runner.columns, runner.samples_per_pixel)
    if decoded.shape != (shape if colours else shape[:2]):
        raise ValueError("another size than announced")
    runner.set_option("bits_allocated", decoded.itemsize * 8)
    runner.set_option("planar_configuration", 0)
    return bytes(decoded.tobytes())
