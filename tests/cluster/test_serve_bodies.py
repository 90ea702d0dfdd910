"""Bodies up to the limit are answered, whatever they hold; beyond it they are refused with 413."""

import io
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

sys.path.insert(0, str(Path(__file__).parent.parent / "serving"))

from endpoint import MASKS, UNET, Client, commit_model, free_port, pixels, png

from medray.jobs.serve import serving
from medray.modalities import media
from medray.serving.tokens import add_token
from medray.storage.store.objects import Objects

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(400),
    # Ray 2.60 uses what it has deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LIMIT = 5 * 2**20 + 2**19  # Ray's own server takes 4 MiB
PICTURE = pixels(1)
VOLUME = np.random.default_rng(5).normal(30, 90, (16, 32, 32)).astype(np.int16)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A model of pictures, one of volumes, each with short answers and with masks."""
    folder = tmp_path_factory.mktemp("served")
    objects = Objects(str(folder / "store"))
    commit_model(objects, "chest")
    commit_model(objects, "cells", {**UNET, "dims": 2}, MASKS, (32, 32))
    commit_model(objects, "grade", {"name": "cnn", "dims": 3, "features": [4, 8]}, patch=(16,) * 3)
    commit_model(objects, "liver", UNET, MASKS, (16, 32, 32))
    token, port = add_token(folder / "tokens"), free_port()
    args = {
        "models": ("chest", "cells", "grade", "liver"),
        "storage": objects.url,
        "token_file": str(folder / "tokens"),
        "cpus": 0.25,
        "body_bytes": LIMIT,
        "bulk": False,
    }
    with serving(args, port=port, num_cpus=2):
        yield Client(port, token)


def _png(size: int) -> bytes:
    plain = png(PICTURE)
    body = b"x" * (size - len(plain) - 12)  # in a chunk that readers pass over
    chunk = b"prVt" + body
    extra = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return plain[:-12] + extra + plain[-12:]


def _jpeg(size: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG")
    plain = buffer.getvalue()
    left, extra = size - len(plain), b""
    while left:  # comments of up to 64 KiB; one needs 4 bytes
        take = left if left <= 0xFFFF else min(0xFFFF, left - 4)
        extra += b"\xff\xfe" + struct.pack(">H", take - 2) + b"x" * (take - 4)
        left -= take
    return plain[:2] + extra + plain[2:]


def _tiff(size: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "TIFF")
    return buffer.getvalue().ljust(size, b"\0")


def _nifti(size: int) -> bytes:
    image = nibabel.Nifti1Image(VOLUME, np.diag([0.8, 0.9, 2.5, 1.0]))
    plain = bytearray(image.to_bytes())
    begin = size - VOLUME.nbytes
    plain[108:112] = struct.pack("<f", begin)  # vox_offset
    return bytes(plain[:348]) + bytes(begin - 348) + VOLUME.tobytes(order="F")


def _npy2(size: int) -> bytes:
    return _npy(size, ((size - 200) // 1024, 128))


def _npy3(size: int) -> bytes:
    return _npy(size, (1, 16, (size - 200) // 2048, 16))


def _npy(size: int, shape: tuple[int, ...]) -> bytes:
    """Values of eight bytes, so that networks have less to do; the header takes what is left."""
    room = size - 12 - 8 * int(np.prod(shape))
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(room)
    values = np.random.default_rng(1).normal(size=shape)
    return b"\x93NUMPY\2\0" + struct.pack("<I", room) + head.encode() + values.tobytes()


def _json(values: np.ndarray) -> Callable[[int], bytes]:
    return lambda size: json.dumps({"image": values.tolist()}).encode().ljust(size)


def _slices(count: int) -> FileDataset:
    """Of one series; several are frames of one object."""
    head = FileMetaDataset()
    head.MediaStorageSOPClassUID = EnhancedCTImageStorage
    head.MediaStorageSOPInstanceUID = "1.2.3.4"
    head.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset(None, {}, file_meta=head, preamble=bytes(128))
    one.SOPClassUID, one.SOPInstanceUID = EnhancedCTImageStorage, "1.2.3.4"
    one.PatientID, one.Modality = "1", "CT"
    one.StudyInstanceUID, one.SeriesInstanceUID = "1.2.1", "1.2.2"
    one.ImageType, one.InstanceNumber, one.NumberOfFrames = ["ORIGINAL", "PRIMARY", "X"], 1, count
    one.Rows, one.Columns, one.SamplesPerPixel = 32, 32, 1
    one.PhotometricInterpretation = "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    shared, measures, turned, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1, 1], 1
    turned.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, 0
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
    shared.PixelValueTransformationSequence = [rescale]
    one.SharedFunctionalGroupsSequence, frames = [shared], []
    for number in range(count):
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, number]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    one.PerFrameFunctionalGroupsSequence = frames
    one.PixelData = VOLUME[:count].tobytes()
    return one


def _dicom(size: int) -> bytes:
    one, made = _slices(16), b""
    for padding in (0, size):
        if padding:
            one.add_new((0xFFFC, 0xFFFC), "OB", bytes(size // 2 * 2 - len(made) - 12))
        buffer = io.BytesIO()
        one.save_as(buffer, enforce_file_format=True)
        made = buffer.getvalue()
    return made


def _zip(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1", _dicom(size - 1000))
    plain = buffer.getvalue()
    comment = size - len(plain)
    return plain[:-2] + struct.pack("<H", comment) + b"x" * comment


def _arrow(values: np.ndarray) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        columns = {"image": pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack([values] * 2))}
        made = b""
        for room in (0, size):
            padding = {"padding": "x" * max(0, room - len(made))}
            table = pa.table(columns).replace_schema_metadata(padding)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as out:
                out.write_table(table)
            made = sink.getvalue().to_pybytes()
        return made

    return make


KINDS: list[tuple[str, str, Callable[[int], bytes]]] = [
    *[
        (model, kind, make)
        for model in ("chest", "cells")
        for kind, make in (
            (media.PNG, _png), (media.JPEG, _jpeg), (media.TIFF, _tiff), (media.NPY, _npy2),
            (media.JSON, _json(PICTURE)), (media.ARROW, _arrow(PICTURE[None])),
        )
    ],
    *[
        (model, kind, make)
        for model in ("grade", "liver")
        for kind, make in (
            (media.NIFTI, _nifti), (media.NPY, _npy3), (media.JSON, _json(VOLUME[None])),
            (media.DICOM, _dicom), (media.ZIP, _zip), (media.ARROW, _arrow(VOLUME[None])),
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("model", "kind", "make"), KINDS)
def test_bodies_up_to_the_limit_are_answered(
    client: Client, model: str, kind: str, make: Callable[[int], bytes]
) -> None:
    for size in (LIMIT - 1, LIMIT):
        body = make(size)
        assert size - 16 <= len(body) <= size  # DICOM is even, Arrow of eights
        answer = client.predict(model, body, kind)
        assert answer.status == 200, (size, answer.body)
        assert answer.headers["medray-model"].startswith(model)
    for size in (LIMIT + 1, 2 * LIMIT):
        answer = client.predict(model, make(size).ljust(size), kind)
        assert (answer.status, answer.json["error"]["code"]) == (413, "too-large")
