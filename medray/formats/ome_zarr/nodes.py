"""Groups and arrays of Zarr v2 and v3 on disk: metadata first, checked, then values.

zarr-python decodes the values; before it is asked, the array's own document has been held against
an allow-list of types and codecs and against limits, so that no foreign document makes it unpickle
or allocate.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from medray.errors import DataError
from medray.formats.tabular.json_text import value_of

Array = np.ndarray[Any, Any]

MAX_DOCUMENT = 4 * 2**20
MAX_CHUNK_BYTES = 2**30
MAX_AXES = 5
CODECS = frozenset(
    {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta", "bytes",
     "transpose", "crc32c", "crc32", "adler32", "fletcher32", "sharding_indexed"}
)  # fmt: skip


@dataclass(frozen=True)
class ArrayInfo:
    """What an array's document says, checked.

    Args:
        path: folder of the array.
        shape: of the array.
        dtype: of the array, native byte order.
        version: of the Zarr format, 2 or 3.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    version: int

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


def attributes(folder: Path) -> dict[str, Any]:
    """OME attributes of a group: those of version 0.4 or, unwrapped, of 0.5; {} where it has none.

    Keys beside `ome` stay as they are.

    Raises:
        DataError: the document is damaged (code "damaged-metadata").
    """
    document = _document(folder / "zarr.json")
    if document is not None:
        values = document.get("attributes", {})
        if not isinstance(values, dict) or not isinstance(values.get("ome", {}), dict):
            raise _damaged(folder)
        return {**{k: v for k, v in values.items() if k != "ome"}, **values.get("ome", {})}
    return _document(folder / ".zattrs") or {}


def inside(folder: Path, path: str) -> Path:
    """The place of `path` below a group.

    Raises:
        DataError: it leads out of the group (code "outside-source").
    """
    place = folder / path
    if not place.resolve().is_relative_to(folder.resolve()):
        raise DataError("a path leads out of the group", code="outside-source")
    return place


def array_info(folder: Path) -> ArrayInfo:
    """Check an array's document.

    Raises:
        DataError: "damaged-metadata", "no-array", "unsupported-datatype", "unsupported-codec",
            "array-too-large".
    """
    document, version = _document(folder / "zarr.json"), 3
    if document is None:
        document, version = _document(folder / ".zarray"), 2
    if document is None:
        raise DataError("the metadata names an array that is not there", code="no-array")
    try:
        shape = tuple(int(n) for n in document["shape"])
        if version == 3:
            name, order = str(document["data_type"]), "|"
            chunk = document["chunk_grid"]["configuration"]["chunk_shape"]
        else:
            name, order = str(document["dtype"])[1:], str(document["dtype"])[0]
            chunk = document["chunks"]
        chunk = tuple(int(n) for n in chunk)
        codecs = set(_codecs(document))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _damaged(folder) from error
    dtype = _dtype(name, order)
    if not codecs <= CODECS:
        raise DataError("the array's codecs are not on the list", code="unsupported-codec")
    sane = len(shape) == len(chunk) <= MAX_AXES and all(n > 0 for n in (*shape, *chunk))
    if not sane:
        raise _damaged(folder)
    if math.prod(chunk) * dtype.itemsize > MAX_CHUNK_BYTES or max(shape) >= 2**31:
        raise DataError("the array's chunks are larger than 1 GiB", code="array-too-large")
    return ArrayInfo(folder, shape, dtype, version)


def read_values(info: ArrayInfo, window: tuple[slice | int, ...]) -> Array:
    """Values of a window of the array.

    Raises:
        DataError: chunks are damaged (code "damaged-chunk").
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = zarr.open_array(str(info.path), mode="r", zarr_format=info.version)  # type: ignore[arg-type]
            values = np.asarray(array[window])
    # zarr's codecs raise whatever their C libraries do: RuntimeError, zlib.error, ValueError, ...
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise DataError(
            f"the array's values cannot be decoded ({type(error).__name__})", code="damaged-chunk"
        ) from error
    native = info.dtype.newbyteorder("=")
    return np.ascontiguousarray(values).astype(native, copy=False)


def _document(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_DOCUMENT:
        raise _damaged(path.parent)
    try:
        document = value_of(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _damaged(path.parent) from error
    if not isinstance(document, dict):
        raise _damaged(path.parent)
    return document


def _codecs(document: dict[str, Any]) -> list[str]:
    """Names of all codecs, those inside of shards too; the `numcodecs.` prefix is dropped."""
    named: list[str] = []
    stack: list[Any] = [*document.get("codecs", [])]
    stack += [one for one in (document.get("compressor"),) if one is not None]
    stack += document.get("filters") or []
    while stack:
        codec = stack.pop()
        if isinstance(codec, str):
            codec = {"name": codec}
        named.append(str(codec.get("name") or codec["id"]).removeprefix("numcodecs."))
        inside = codec.get("configuration") or {}
        stack += inside.get("codecs", []) + inside.get("index_codecs", [])
        if len(named) > 32:
            raise ValueError
    return named


def _dtype(name: str, order: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name if order == "|" else order + name)
    except TypeError as error:
        raise DataError("the array's type is no number", code="unsupported-datatype") from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError("the array's type is no real number", code="unsupported-datatype")
    return dtype


def _damaged(folder: Path) -> DataError:
    return DataError("a metadata document is damaged", code="damaged-metadata", about=folder.name)
