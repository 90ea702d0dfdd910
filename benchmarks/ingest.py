"""Ingest of DICOM into Zarr by two workers, beside one process that only reads with pydicom.

The reference does the least that can be done: `dcmread` and `pixel_array` of every file, in a loop.
Archives keep slices as they came or, more often, compressed without loss: `--syntax`.
medray scans the headers, checks geometry, de-identifies, rescales, writes checksummed shards and
commits, by two processes of the engine's worker (`workers.py`).

Each is measured twice: with the source in the page cache, where processors are all that counts, and
from the disk, as an archive that is larger than memory is read.
"""

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pairs import interleave, ratio
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless
from workers import Crew, crew

from medray.storage.store.objects import Objects

SYNTAXES = {"jpeg-ls": JPEGLSLossless, "jpeg-2000": JPEG2000Lossless}


def write_series(folder: Path, number: int, slices: int, syntax: str = "") -> None:
    """One CT series of 512 x 512 slices, 1 mm apart."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    base = (1000 * np.sin(np.linspace(0, 9, 512))[:, None] * np.cos(np.linspace(0, 7, 512))).astype(
        np.int16
    )
    for index in range(slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{number}.{index + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = Dataset()
        ds.file_meta = meta
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.{number}.900"
        ds.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.{number}.901"
        ds.FrameOfReferenceUID = f"1.2.826.0.1.3680043.8.498.{number}.902"
        ds.PatientID, ds.PatientName, ds.Modality = f"P{number}", f"Doe^{number}", "CT"
        ds.StudyDate, ds.ImageType = "20200101", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.Rows = ds.Columns = 512
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-180.0, -180.0, float(index)]
        ds.PixelSpacing, ds.SliceThickness, ds.InstanceNumber = [0.7, 0.7], 1.0, index + 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        noise = rng.integers(-15, 16, (512, 512), dtype=np.int16)
        ds.PixelData = (base + noise + 8 * index).astype("<i2").tobytes()
        if syntax:
            ds.compress(SYNTAXES[syntax], generate_instance_uid=False)
        ds.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)


def evict(root: Path) -> None:
    """Have the source's files on the disk only."""
    for path in root.rglob("*.dcm"):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def read_only(root: Path) -> float:
    """Seconds of the reference."""
    started = time.perf_counter()
    total = 0
    for path in sorted(root.rglob("*.dcm")):
        total += int(pydicom.dcmread(path).pixel_array[::64, ::64].sum(dtype=np.int64))
    if total == 0:
        raise SystemExit("the reference read nothing")
    return time.perf_counter() - started


def ingest(root: Path, workers: Crew) -> tuple[float, dict[str, Any]]:
    """Seconds of medray, and facts about what it wrote."""
    with tempfile.TemporaryDirectory() as store:
        done = workers.ingest("dicom", {}, root, Objects(store), samples=1)
        digest = hashlib.sha256("".join(sorted(done.commits.column("content"))).encode())
        facts = {"digest": digest.hexdigest()[:12], "stages": done.commits.seconds()}
        return done.seconds, facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--series", type=int, default=24)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--syntax", choices=SYNTAXES, default="", help="default: not compressed")
    args = parser.parse_args()
    os.environ["MEDRAY_DEID_KEY"] = "00" * 32
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder, crew() as workers:
        root = Path(folder) / "raw"
        for number in range(1, args.series + 1):
            write_series(root / f"s{number}", number, args.slices, args.syntax)
        facts: dict[str, Any] = {}

        os.sync()  # what isn't on the disk can't be evicted

        def medray() -> float:
            took, facts_now = ingest(root, workers)
            if facts and facts_now["digest"] != facts["digest"]:
                raise SystemExit("two runs wrote different content")
            facts.update(facts_now)
            return took

        def pydicom_alone() -> float:
            return read_only(root)

        def from_disk(candidate: Callable[[], float]) -> Callable[[], float]:
            def run() -> float:
                evict(root)
                return candidate()

            return run

        candidates = {
            "medray": medray,
            "pydicom": pydicom_alone,
            "medray from disk": from_disk(medray),
            "pydicom from disk": from_disk(pydicom_alone),
        }
        seconds = interleave(candidates, args.pairs)
        size = args.series * args.slices * 512 * 512 * 2 / 1e6
        for name, took in seconds.items():
            print(f"{name:17} {size / statistics.median(took):7.0f} MB/s")
        ratio(seconds, "medray", "pydicom")
        ratio(seconds, "medray from disk", "pydicom from disk")
        total = sum(facts["stages"].values())
        print({stage: f"{value / total:.0%}" for stage, value in facts["stages"].items()})


if __name__ == "__main__":
    main()
