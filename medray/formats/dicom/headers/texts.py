"""Text in the character set that its file names (PS3.3, C.12.1.1.2; PS3.5, 6.1.2)."""

import warnings

_ESCAPE = 0x1B  # switches to another set: ISO 2022 is of seven bits


def told(value: bytes, charset: bytes | None) -> str:
    """A value without padding, as pydicom reads it; different bytes never become one text.

    Args:
        value: as it stands in the file.
        charset: SpecificCharacterSet, None where there is none: then UTF-8, or Latin-1.
    """
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii").strip(" \0")
    named = (charset or b"").strip(b" \0")
    return (_in_set(value, named) if named else _guessed(value)).strip(" \0")


def _in_set(value: bytes, charset: bytes) -> str:
    # Few files have letters beyond ASCII in what is read; the others need no pydicom.
    from pydicom.charset import convert_encodings
    from pydicom.config import logger

    logger.propagate = False  # it logs what it chokes on, which the root logger must not get
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote the file
        try:
            names = charset.decode("ascii").split("\\")
            encodings = convert_encodings([name.strip() for name in names])
            return _decoded(value, encodings)
        except (UnicodeError, LookupError):
            return _guessed(value)


def _decoded(value: bytes, encodings: list[str]) -> str:
    from pydicom.charset import decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS

    text = decode_bytes(value, encodings, TEXT_VR_DELIMS)
    return text if "\ufffd" not in text else _guessed(value)


def _guessed(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
