"""Size and time of DICOM SEG: a mask of 200 x 512 x 512 voxels with 30 structures.

The structures are ellipsoids of about organ size. Each encoding is written to disk and read back
by highdicom; the masks must be equal. Imports are outside of the times.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import highdicom
import numpy as np

from medray.formats.dicom.segmentation import DicomSeg
from medray.storage.shards.samples import Sample

SHAPE, LABELS = (200, 512, 512), 30


def organs(shape: tuple[int, int, int], labels: int) -> np.ndarray:
    """Ellipsoids, one per label, that reach over 6 to 24 % of each axis."""
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, np.uint8)
    for label in range(1, labels + 1):
        centre = rng.uniform(0.2, 0.8, 3) * shape
        radius = np.maximum(1, rng.uniform(0.03, 0.12, 3) * shape)
        low = np.maximum(0, centre - radius).astype(int)
        high = np.minimum(shape, centre + radius + 1).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        axes = zip(np.ogrid[box], centre, radius, strict=True)
        mask[box][sum(((g - c) / r) ** 2 for g, c, r in axes) < 1] = label
    return mask


def geometry(shape: tuple[int, int, int]) -> str:
    """Of a CT series, as the format `dicom` keeps it with a sample."""
    depth, rows, columns = shape
    slices = [
        {"sop": f"2.25.{100 + z}", "frame": 1, "position_mm": [-180.0, -180.0, 1.5 * z]}
        for z in range(depth)
    ]
    kept = {
        "study": "2.25.1",
        "series": "2.25.2",
        "frame_of_reference": "2.25.3",
        "sop_class": "1.2.840.10008.5.1.4.1.1.2",
        "modality": "CT",
        "patient": "subject-1",
        "date": "2020-01-02",
        "rows": rows,
        "columns": columns,
        "spacing_mm": [0.7, 0.7],
        "orientation": [1, 0, 0, 0, 1, 0],
        "thickness_mm": 1.5,
        "deidentified": True,
        "slices": slices,
    }
    return json.dumps(kept)


def read_back(path: Path) -> np.ndarray:
    """The mask in a SEG file, slices in the order of the series."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = highdicom.seg.segread(path)
        uids = [f"2.25.{100 + z}" for z in range(SHAPE[0])]
        found = seg.get_pixels_by_source_instance(
            uids, combine_segments=True, assert_missing_frames_are_empty=True
        )
    return np.asarray(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    mask = organs(SHAPE, LABELS)
    row = {"dicom_geometry": geometry(SHAPE)}
    with tempfile.TemporaryDirectory() as folder:
        for encoding in ("labelmap", "binary"):
            form = DicomSeg(DicomSeg.Options(encoding=encoding))
            small = {"label": np.ones((2, 16, 16), np.uint8)}
            warm = Sample("warm", {"dicom_geometry": geometry((2, 16, 16))}, small)
            list(form.write([warm], Path(folder)))  # loads what writing needs
            seconds = []
            for _ in range(args.rounds):
                started = time.perf_counter()
                (path,) = form.write([Sample("case", row, {"label": mask})], Path(folder))
                seconds.append(time.perf_counter() - started)
            if not np.array_equal(read_back(path), mask):
                raise SystemExit(f"{encoding}: the mask came back changed")
            print(f"{encoding} MB: {path.stat().st_size / 1e6:.2f}")
            print(f"{encoding} seconds: {statistics.median(seconds):.2f} (n={len(seconds)})")


if __name__ == "__main__":
    main()
