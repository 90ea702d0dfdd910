"""Bodies of requests to samples, by the formats that ingest reads; sizes are checked first."""

import ast
import json
import math
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medray.errors import DataError
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.formats.imaging.values import as_image, describe
from medray.serving.apart import Decoder
from medray.storage.shards.samples import Sample

JSON, NPY, PNG, JPEG, TIFF = (
    "application/json", "application/x-npy", "image/png", "image/jpeg", "image/tiff",
)  # fmt: skip
NIFTI, DICOM, ZIP = "application/x-nifti", "application/dicom", "application/zip"
ARROW = "application/vnd.apache.arrow.stream"
MEMBERS = 20_000  # of an archive; a long CT has 2,000 slices
JSON_BYTES = 16 * 2**20  # parsed, it takes ten times as much
_HEADER = 4096  # bytes of a .npy header; numpy writes 128
_DTYPES = frozenset({"uint8", "uint16", "int8", "int16", "int32", "float32", "float64"})


@dataclass(frozen=True)
class Upload:
    """The body of a request.

    Args:
        body: its bytes.
        media: its media type, without parameters.
        image_bytes: of the decoded image; larger ones are refused.
    """

    body: bytes
    media: str
    image_bytes: int


def decode(upload: Upload) -> list[Sample]:
    """The samples that a request holds: one, but for Arrow, which may hold many.

    Each has `image` (C, Z, Y, X) or (C, Y, X) and the row that ingest would have made of it.

    Raises:
        DataError: "unsupported-media", or whatever the format finds wrong with the file. Sizes
            have codes of `TOO_LARGE`.
    """
    reader = _READERS.get(upload.media)
    if reader is None:
        raise DataError(
            "no reader for this media type",
            code="unsupported-media",
            hint=f"one of {', '.join(sorted(_READERS))}",
        )
    return reader(upload)


TOO_LARGE = frozenset(
    {
        "too-large", "array-too-large", "compression-bomb", "deflate-bomb", "file-too-large",
        "header-too-large", "image-too-large", "volume-too-large",
    }
)  # fmt: skip


def _npy(upload: Upload) -> list[Sample]:
    shape, dtype, order, offset = _npy_header(upload.body)
    if math.prod(shape) * dtype.itemsize != len(upload.body) - offset:
        raise DataError("the body does not hold what its header says", code="damaged-npy")
    values = np.frombuffer(upload.body, dtype, offset=offset).reshape(shape, order=order)
    values = np.ascontiguousarray(values)
    return [_sample(values.astype(dtype.newbyteorder("="), copy=False), upload, {})]


def _npy_header(body: bytes) -> tuple[tuple[int, ...], np.dtype[Any], Literal["C", "F"], int]:
    """Shape, type, order and offset of the values; numpy's own loader knows pickles."""
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


def _json(upload: Upload) -> list[Sample]:
    if len(upload.body) > JSON_BYTES:
        raise DataError("too long for JSON", code="too-large", hint="send .npy instead")
    try:
        document = json.loads(upload.body)
        unknown = set(document) - {"image", "dtype", "spacing_mm"}
        kind = document.get("dtype", "float32")
        if unknown or kind not in _DTYPES:
            raise ValueError
        values = np.array(document["image"], kind)
        spacing = [float(value) for value in document.get("spacing_mm", [])]
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError) as e:
        raise DataError(
            "expected {image: nested lists, dtype: …, spacing_mm: […]}",
            code="bad-json",
            hint=f"dtype is one of {', '.join(sorted(_DTYPES))}",
        ) from e
    return [_sample(values, upload, {"spacing_mm": spacing} if spacing else {})]


def _arrow(upload: Upload) -> list[Sample]:
    made = []
    for name, values in _decoder(upload.image_bytes).read(upload.body):
        sample = _sample(values, upload, {})
        made.append(Sample(name, sample.row, sample.arrays))
    return made


@cache
def _decoder(image_bytes: int) -> Decoder:
    return Decoder(image_bytes)


def _sample(values: np.ndarray, upload: Upload, row: dict[str, Any]) -> Sample:
    if values.nbytes > upload.image_bytes:
        raise DataError(f"the image has {values.nbytes} bytes", code="image-too-large")
    if values.ndim not in (2, 3, 4) or not values.size:
        raise DataError(
            f"an image of shape {values.shape}",
            code="bad-shape",
            hint="(Y, X), (C, Y, X) or (C, Z, Y, X)",
        )
    image = as_image(values if values.ndim > 2 else values[None])
    spacing = row.get("spacing_mm", [1.0] * (image.ndim - 1))
    if len(spacing) != image.ndim - 1 or not all(1e-6 < size < 1e6 for size in spacing):
        raise DataError("spacing_mm is not one size per axis of space", code="bad-spacing")
    return Sample("image", {"spacing_mm": spacing, **describe(image)}, {"image": image})


def _raster(upload: Upload) -> list[Sample]:
    # Pages, colours and depths cost 4 bytes a pixel at most before they become an image.
    options = {"max_pixels": max(1, upload.image_bytes // 4)}
    suffix = {PNG: "png", JPEG: "jpg", TIFF: "tif"}[upload.media]
    return _file("image", options, upload, f"image.{suffix}")


def _nifti(upload: Upload) -> list[Sample]:
    packed = upload.body[:2] == b"\x1f\x8b"
    options = {"max_bytes": upload.image_bytes, "labels": "none"}
    return _file("nifti", options, upload, "image.nii.gz" if packed else "image.nii")


def _dicom(upload: Upload) -> list[Sample]:
    return _file("dicom", _dicom_options(upload), upload, "image.dcm")


def _dicom_options(upload: Upload) -> dict[str, Any]:
    # Nothing of it is kept, and no name is answered: there is nothing to de-identify.
    return {"max_bytes": upload.image_bytes, "deidentify": {"method": "none"}}


def _series(upload: Upload) -> list[Sample]:
    """A zip of one DICOM series; the members' names are not used."""
    try:
        with zipfile.ZipFile(BytesIO(upload.body)) as archive, _folder() as folder:
            members = [one for one in archive.infolist() if not one.is_dir()]
            total = sum(one.file_size for one in members)
            if len(members) > MEMBERS or total > upload.image_bytes:
                raise DataError(
                    f"the archive holds {len(members)} files of {total} bytes",
                    code="file-too-large",
                )
            for number, one in enumerate(members):
                with archive.open(one) as stream:  # never gives more than file_size
                    (folder / f"{number:06d}.dcm").write_bytes(stream.read(one.file_size))
            return _read("dicom", _dicom_options(upload), folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise DataError("the zip archive is damaged", code="damaged-zip") from error


def _file(name: str, options: dict[str, Any], upload: Upload, file: str) -> list[Sample]:
    with _folder() as folder:
        (folder / file).write_bytes(upload.body)
        return _read(name, options, folder)


class _folder(tempfile.TemporaryDirectory[str]):  # noqa: N801 - reads as the function it is
    """A private folder, gone at the end, whatever happens."""

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _read(name: str, options: dict[str, Any], folder: Path) -> list[Sample]:
    kind = FORMATS.get(name)
    reader, source = kind(kind.Options.model_validate(options)), Source(folder)
    plan = reader.plan(source)
    items = [item for group in plan.groups for item in group]
    if not items or len(items) > 1:
        first = plan.refused[0] if plan.refused else None
        raise DataError(
            first.reason if first else f"the body holds {len(items)} images, not one",
            code=first.code if first else "not-one-image",
        )
    samples = list(reader.read(source, items[0]))
    if len(samples) != 1 or not isinstance(samples[0], Sample):
        raise DataError("the body does not hold exactly one image", code="not-one-image")
    sample = samples[0]
    return [Sample("image", sample.row, {"image": sample.arrays["image"]})]


_READERS: dict[str, Callable[[Upload], list[Sample]]] = {
    JSON: _json,
    NPY: _npy,
    PNG: _raster,
    JPEG: _raster,
    TIFF: _raster,
    NIFTI: _nifti,
    DICOM: _dicom,
    ZIP: _series,
    ARROW: _arrow,
}

MEDIA = tuple(_READERS)
