"""A small source of slides: pyramids of TIFF and DICOM with a spot of tissue on white glass."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from tifffile import TiffWriter

from medray.formats.slide.wsi import WSI
from medray.storage.shards.samples import Sample


def picture(height: int = 96, width: int = 80, seed: int = 0) -> np.ndarray:
    """Glass with noise, and a stained square of a third of its sides in the middle."""
    rng = np.random.default_rng(seed)
    made = rng.integers(238, 244, (height, width, 3)).astype(np.uint8)
    spot = made[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    spot[...] = (180, 80, 160)
    spot += rng.integers(0, 20, spot.shape).astype(np.uint8)
    return made


def pyramid(path: Path, levels: list[np.ndarray], mpp: float | None, **options: Any) -> None:
    """A TIFF whose coarser levels lie below its first page."""
    told = {} if mpp is None else {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": 3}
    shared = {"photometric": "rgb", "tile": (16, 16), **options}
    with TiffWriter(path) as file:
        file.write(levels[0], subifds=len(levels) - 1, metadata=None, **shared, **told)
        for level in levels[1:]:
            file.write(level, subfiletype=1, metadata=None, **shared)


def write_level(
    path: Path, pixels: np.ndarray, mpp: float = 0.25, *, kind: str = "VOLUME",
    sparse: set[tuple[int, int]] | None = None, **more: Any,
) -> None:  # fmt: skip
    """A level in tiles of 16, all of them or some; a canary stands in its patient."""
    height, width = pixels.shape[:2]
    down, across = -(-height // 16), -(-width // 16)
    padded = np.full((16 * down, 16 * across, 3), 255, np.uint8)
    padded[:height, :width] = pixels
    places = [(r, c) for r in range(down) for c in range(across) if not sparse or (r, c) in sparse]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID, made.SOPClassUID = WSI, WSI
    uid = f"1.2.3.{sum(path.name.encode())}"
    made.file_meta.MediaStorageSOPInstanceUID, made.SOPInstanceUID = uid, uid
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    made.PatientName, made.PatientID, made.StudyDate = "CANARY^A", "CANARY", "20200101"
    made.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    made.Rows = made.Columns = 16
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = height, width
    made.NumberOfFrames = len(places)
    made.SamplesPerPixel, made.PhotometricInterpretation = 3, "RGB"
    made.PlanarConfiguration = made.PixelRepresentation = 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [mpp / 1000] * 2
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    made.DimensionOrganizationType = "TILED_SPARSE" if sparse else "TILED_FULL"
    if sparse:
        made.PerFrameFunctionalGroupsSequence = [placed(*one) for one in places]
    for name, value in more.items():
        setattr(made, name, value)
    made.PixelData = b"".join(
        padded[16 * r : 16 * r + 16, 16 * c : 16 * c + 16].tobytes() for r, c in places
    )
    made.save_as(path, enforce_file_format=True)


def placed(row: int, column: int) -> Dataset:
    place, groups = Dataset(), Dataset()
    place.RowPositionInTotalImagePixelMatrix = 16 * row + 1
    place.ColumnPositionInTotalImagePixelMatrix = 16 * column + 1
    groups.PlanePositionSlideSequence = [place]
    return groups


def halved(pixels: np.ndarray) -> np.ndarray:
    """The mean of 2 x 2 pixels."""
    tall, wide = (n // 2 for n in pixels.shape[:2])
    blocks = pixels[: 2 * tall, : 2 * wide].reshape(tall, 2, wide, 2, 3)
    return np.rint(blocks.mean((1, 3))).astype(np.uint8)


def slide(root: Path) -> dict[str, Any]:
    for seed, (name, packing) in enumerate((("a", "deflate"), ("b", "jpeg"))):
        whole = picture(seed=seed)
        pyramid(root / f"{name}.tif", [whole, halved(whole)], 0.25, compression=packing)
    for name, level, mpp in (("c0", whole, 0.25), ("c1", halved(whole), 0.5)):
        write_level(root / f"{name}.dcm", level, mpp)
    return {"mpp": 0.25, "tile": 16}


def heat(sample_id: str = "case") -> Sample:
    """A map of 2 x 3 tiles, the last of which has no tissue; the slide ends within its tiles."""
    values = np.array(
        [
            [[0.5, 2.0, 0.5], [1.5, 0.5, np.nan]],
            [[0.9, 0.25, 0.75], [0.5, 1.0, np.nan]],
            [[0.1, 0.75, 0.25], [0.5, 0.0, np.nan]],
        ],
        np.float32,
    )
    row = {
        "subject": "s",
        "side": 100.5,
        "width": 290,
        "height": 180,
        "slide_mpp": 0.25,
        "heat_channels": ["attention", "normal", "tumour"],
    }
    return Sample(sample_id, row, {"heat": values})
