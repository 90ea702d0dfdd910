"""Bodies become the samples that ingest would have made; nothing grows beyond the limit."""

import contextlib
import io
import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "serving"))

from endpoint import npy, pixels, png

from medray.errors import DataError
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.modalities import media
from medray.modalities.image.wire import ImageWire
from medray.modalities.wire import Answer, Limits

LIMIT = 2**26
WIRE = ImageWire({"dims": 2, "in_channels": 1, "answers": "sample"})


def decode(body: bytes, kind: str, limit: int = LIMIT) -> list[Any]:
    return WIRE.read(body, kind, Limits(limit)).samples


def only(body: bytes, kind: str, limit: int = LIMIT) -> Any:
    (sample,) = decode(body, kind, limit)
    return sample


def code_of(body: bytes, kind: str, limit: int = LIMIT) -> str:
    with pytest.raises(DataError) as caught:
        decode(body, kind, limit)
    return caught.value.code


def ingested(folder: Path, name: str, **options: Any) -> Any:
    kind = FORMATS.get(name)
    reader, source = kind(kind.Options.model_validate(options)), Source(folder)
    ((item,),) = reader.plan(source).groups
    (sample,) = reader.read(source, item)
    return sample


def nifti(tmp_path: Path) -> bytes:
    values = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
    path = tmp_path / "case.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.5, 2.0, 1.0])), path)
    return path.read_bytes()


def arrow(images: np.ndarray, names: list[str] | None = None, compression: str = "") -> bytes:
    columns = {"image": pa.FixedShapeTensorArray.from_numpy_ndarray(images)}
    if names:
        columns["sample_id"] = pa.array(names)
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression or None)
    with pa.ipc.new_stream(sink, table.schema, options=options) as out:
        out.write_table(table)
    return sink.getvalue().to_pybytes()


def test_files_are_read_as_ingest_reads_them(tmp_path: Path) -> None:
    for shape in [(40, 36), (40, 36, 3)]:
        folder = tmp_path / f"png{len(shape)}"
        folder.mkdir()
        (folder / "case.png").write_bytes(png(pixels(1, shape)))
        wanted = ingested(folder, "image")
        found = only(png(pixels(1, shape)), media.PNG)
        np.testing.assert_array_equal(found.arrays["image"], wanted.arrays["image"])
        assert found.row["image_mean"] == wanted.row["image_mean"]
    folder = tmp_path / "nifti"
    folder.mkdir()
    body = nifti(folder)
    wanted, found = ingested(folder, "nifti"), only(body, media.NIFTI)
    np.testing.assert_array_equal(found.arrays["image"], wanted.arrays["image"])
    assert found.row["affine"] == wanted.row["affine"]
    assert found.row["spacing_mm"] == [2.0, 1.5, 1.0]


def test_arrays_are_the_same_whichever_way_they_come() -> None:
    values = pixels(3)
    document = {"image": values.tolist(), "dtype": "uint8"}
    ways = [
        only(png(values), media.PNG),
        only(npy(values), media.NPY),
        only(npy(np.asfortranarray(values)), media.NPY),
        only(npy(values.astype(">u1")), media.NPY),
        only(json.dumps(document).encode(), media.JSON),
        decode(arrow(values[None, None].copy()), media.ARROW)[0],
    ]
    for way in ways:
        np.testing.assert_array_equal(way.arrays["image"], values[None])
        assert way.row["image_mean"] == ways[0].row["image_mean"]


def test_arrow_holds_many() -> None:
    images = pixels(1, (3, 1, 8, 8))
    made = decode(arrow(images, ["a", "b", "c"]), media.ARROW)
    assert [sample.id for sample in made] == ["a", "b", "c"]
    np.testing.assert_array_equal(made[2].arrays["image"], images[2])


def test_what_would_grow_is_refused_unread(tmp_path: Path) -> None:
    zeros = np.zeros((1, 1, 1024, 1024), np.uint8)
    assert code_of(arrow(zeros, compression="zstd"), media.ARROW) == "bad-arrow"
    assert code_of(arrow(zeros), media.ARROW, limit=2**20 - 1) == "too-large"
    assert code_of(npy(zeros[0]), media.NPY, limit=2**20 - 1) == "image-too-large"
    assert code_of(png(zeros[0, 0]), media.PNG, limit=2**20) == "image-too-large"
    assert code_of(nifti(tmp_path), media.NIFTI, limit=239) in media.TOO_LARGE
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(2**24))
    assert code_of(bomb.getvalue(), media.ZIP, limit=2**23) == "file-too-large"
    assert code_of(b"[" * (2**24 + 1), media.JSON) == "too-large"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("unpickled",)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", media.NPY, "damaged-npy"),
        (npy(np.array([Evil()], object)), media.NPY, "damaged-npy"),
        (npy(pixels(1))[:-1], media.NPY, "damaged-npy"),
        (npy(np.full((4, 4), np.nan)), media.NPY, "nonfinite-voxels"),
        (npy(np.zeros((0, 4))), media.NPY, "damaged-npy"),
        (npy(np.zeros(4)), media.NPY, "bad-shape"),
        (pickle.dumps(Evil()), media.NPY, "damaged-npy"),
        (b"not an image", media.PNG, "not-an-image"),
        (b"\x1f\x8b not nifti", media.NIFTI, "damaged-gzip"),
        (b"not a zip", media.ZIP, "damaged-zip"),
        (b"{}", media.JSON, "bad-json"),
        (b"[]", media.JSON, "bad-json"),
        (b"[" * 100_000, media.JSON, "bad-json"),
        (b'{"image": [[1, 2], [3]]}', media.JSON, "bad-json"),
        (b'{"image": [[1]], "dtype": "object"}', media.JSON, "bad-json"),
        (b'{"image": [[1]], "spacing_mm": [1, -1]}', media.JSON, "bad-spacing"),
        (b"not arrow", media.ARROW, "bad-arrow"),
        (arrow(pixels(1, (2, 1, 4, 4)), ["a", "a"]), media.ARROW, "bad-arrow"),
    ],
)
def test_damage_is_refused_with_a_code(body: bytes, kind: str, code: str) -> None:
    assert code_of(body, kind) == code


def test_every_cut_of_an_arrow_stream_is_refused_or_read() -> None:
    body = arrow(pixels(1, (2, 1, 4, 4)), ["a", "b"])
    for end in range(0, len(body), 7):
        with contextlib.suppress(DataError):
            decode(body[:end], media.ARROW)


def test_masks_are_answered_as_they_were_asked() -> None:
    volumes = ImageWire({"dims": 3, "in_channels": 1, "answers": "place"})
    assert next(iter(volumes.takes)) == media.NIFTI
    assert next(iter(WIRE.takes)) == media.PNG
    assert set(volumes.takes) == set(WIRE.takes)
    maps = ("grad-cam", "integrated-gradients", "occlusion")
    assert volumes.outputs == ("labels", "probabilities", *maps)
    assert WIRE.outputs == ("labels", *maps)
    boxes = ImageWire({"dims": 3, "in_channels": 1, "answers": "objects"})
    assert boxes.outputs == ("labels", *maps[1:])
    assert [volumes.gives(kind)[0] for kind in (media.NIFTI, media.JSON, media.DICOM)] == [
        media.NIFTI,
        media.JSON,
        media.NPY,
    ]
    assert volumes.gives(media.ARROW) == (media.ARROW,)
    assert WIRE.gives(media.PNG) == (media.JSON, media.NPY, media.NIFTI)  # of maps
    mask = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    answer = Answer("image", {}, {"label_voxels": [1]}, {"label": mask})
    told = json.loads(volumes.write("m@1", [answer], media.JSON, many=False))
    assert told == {"model": "m@1", "label": mask.tolist()}
    body = volumes.write("m@1", [answer], media.NPY, many=False)
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), mask)
    with pytest.raises(DataError) as caught:
        volumes.write("m@1", [answer], media.NIFTI, many=False)
    assert caught.value.code == "no-affine"
