"""Media types of requests, and how plain bodies are read: nothing grows before it is measured."""

import ast
import math
from collections.abc import Collection
from io import BytesIO
from typing import Any, Literal

import numpy as np

from medray.errors import DataError
from medray.formats.tabular.json_text import value_of

JSON, NPY, PNG, JPEG, TIFF = (
    "application/json", "application/x-npy", "image/png", "image/jpeg", "image/tiff",
)  # fmt: skip
NIFTI, DICOM, ZIP = "application/x-nifti", "application/dicom", "application/zip"
ARROW = "application/vnd.apache.arrow.stream"
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
ROWS = 4096  # samples of one request
JSON_BYTES = 16 * 2**20  # parsed, it takes ten times as much
TOO_LARGE = frozenset(
    {
        "too-large", "array-too-large", "compression-bomb", "deflate-bomb", "file-too-large",
        "header-too-large", "image-too-large", "volume-too-large",
    }
)  # fmt: skip
_HEADER = 4096  # bytes of a .npy header; numpy writes 128


def parsed(body: bytes) -> Any:
    """The value of a JSON body.

    Raises:
        DataError: "too-large", "bad-json", or "not-utf8": half of a character.
    """
    if len(body) > JSON_BYTES:
        raise DataError("too long for JSON", code="too-large", hint="send Arrow or .npy instead")
    try:
        return value_of(body)
    except (ValueError, RecursionError) as error:
        raise DataError("the body is no JSON", code="bad-json") from error


def documents_of(
    body: bytes, fields: Collection[str], form: str
) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
    """Id and fields of each sample of a JSON body: an object, or a list of them.

    Args:
        body: the body.
        fields: that an object may have, beside `sample_id`.
        form: what an object looks like, for who sent another.

    Returns:
        The samples, and whether they came as a list. Who gives no id is named by its number.

    Raises:
        DataError: "bad-json", or "too-large": more samples than one request may have.
    """
    value = parsed(body)
    many = isinstance(value, list)
    listed = value if many else [value]
    if len(listed) > ROWS:
        raise DataError(f"{len(listed)} samples", code="too-large", hint=f"at most {ROWS} at once")
    bad = DataError(
        "the body does not have the form that the model takes",
        code="bad-json",
        hint=f"expected {form}, or a list of such objects",
    )
    made = []
    for number, one in enumerate(listed):
        if not isinstance(one, dict):
            raise bad
        name = one.pop("sample_id", str(number))
        if not isinstance(name, str) or not set(one) <= set(fields):
            raise bad
        made.append((name, one))
    if not made:
        raise bad
    return made, many


def read_npy(body: bytes) -> np.ndarray:
    """The array of a .npy body, C-ordered and in native bytes; numpy's own loader knows pickles.

    Raises:
        DataError: it is none of plain numbers (code "damaged-npy").
    """
    shape, dtype, order, offset = _npy_header(body)
    if math.prod(shape) * dtype.itemsize != len(body) - offset:
        raise DataError("the body does not hold what its header says", code="damaged-npy")
    values = np.frombuffer(body, dtype, offset=offset).reshape(shape, order=order)
    return np.ascontiguousarray(values).astype(dtype.newbyteorder("="), copy=False)


def _npy_header(body: bytes) -> tuple[tuple[int, ...], np.dtype[Any], Literal["C", "F"], int]:
    """Shape, type, order and offset of the values."""
    wide = body[6:7] != b"\x01"
    start = 12 if wide else 10
    size = int.from_bytes(body[8:start], "little")
    if body[:6] != b"\x93NUMPY" or size > _HEADER or len(body) < start + size:
        raise DataError("the body is no .npy array", code="damaged-npy")
    try:
        fields = ast.literal_eval(body[start : start + size].decode("latin-1").strip())
        dtype, shape = np.dtype(fields["descr"]), tuple(fields["shape"])
        order: Literal["C", "F"] = "F" if fields["fortran_order"] else "C"
        good = dtype.kind in "uifb" and dtype.subdtype is None
        if not good or not all(isinstance(n, int) and 0 < n < 2**40 for n in shape):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise DataError("the header names no plain array of numbers", code="damaged-npy") from error
    return shape, dtype, order, start + size


def npy_of(values: np.ndarray) -> bytes:
    """An array as a .npy file."""
    buffer = BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()
