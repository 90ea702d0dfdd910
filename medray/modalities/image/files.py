"""Files in requests to images: written to a private folder, read as ingest reads them."""

import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from medray.errors import DataError
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.modalities.media import DICOM, JPEG, NIFTI, PNG, TIFF, ZIP
from medray.modalities.wire import Limits
from medray.storage.shards.samples import Sample

MEMBERS = 20_000  # of an archive; a long CT has 2,000 slices
_SUFFIXES = {PNG: "png", JPEG: "jpg", TIFF: "tif", DICOM: "dcm"}


def read_file(body: bytes, media: str, limits: Limits) -> Sample:
    """The image of a file, or of a zip of one DICOM series.

    Raises:
        DataError: whatever the format finds wrong with it, or it holds more than one image
            ("not-one-image"), or the archive is damaged ("damaged-zip").
    """
    most = limits.decoded_bytes
    if media == ZIP:
        return _series(body, most)
    if media == NIFTI:
        suffix = "nii.gz" if body[:2] == b"\x1f\x8b" else "nii"
        return _one("nifti", {"max_bytes": most, "labels": "none"}, body, suffix)
    if media == DICOM:
        return _one("dicom", _dicom(most), body, _SUFFIXES[media])
    # Pages, colours and depths cost 4 bytes a pixel at most before they become an image.
    return _one("image", {"max_pixels": max(1, most // 4)}, body, _SUFFIXES[media])


def _dicom(most: int) -> dict[str, Any]:
    # Nothing of it is kept, and no name is answered: there is nothing to de-identify.
    return {"max_bytes": most, "deidentify": {"method": "none"}}


def _series(body: bytes, most: int) -> Sample:
    """A zip of one DICOM series; the members' names are not used."""
    try:
        with zipfile.ZipFile(BytesIO(body)) as archive, _folder() as folder:
            members = [one for one in archive.infolist() if not one.is_dir()]
            total = sum(one.file_size for one in members)
            if len(members) > MEMBERS or total > most:
                raise DataError(
                    f"the archive holds {len(members)} files of {total} bytes",
                    code="file-too-large",
                )
            for number, one in enumerate(members):
                with archive.open(one) as stream:  # never gives more than file_size
                    (folder / f"{number:06d}.dcm").write_bytes(stream.read(one.file_size))
            return _read("dicom", _dicom(most), folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise DataError("the zip archive is damaged", code="damaged-zip") from error


def _one(name: str, options: dict[str, Any], body: bytes, suffix: str) -> Sample:
    with _folder() as folder:
        (folder / f"image.{suffix}").write_bytes(body)
        return _read(name, options, folder)


class _folder(tempfile.TemporaryDirectory[str]):  # noqa: N801 - reads as the function it is
    """A private folder, gone at the end, whatever happens."""

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _read(name: str, options: dict[str, Any], folder: Path) -> Sample:
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
    return Sample("image", sample.row, {"image": sample.arrays["image"]})
