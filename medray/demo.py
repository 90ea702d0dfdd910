"""The demo's raw data: a small cohort of CT-like series, written as real DICOM files with masks.

Nothing here comes from a patient. Each subject is a body of fat and muscle with a spine, an organ
and one to three bright lesions whose masks are known; among the subjects are the troubles of a real
archive, each of which ingest must name.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    XRayRadiationDoseSRStorage,
)

SIZE = 96
PIXEL_MM = 3.5
SLICE_MM = 5.0
CANARY = "CANARY"
"""Stands in every text of one subject that could name a person; it must never leave ingest."""

TROUBLES = ("tilted", "missing-slice", "truncated")
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless)


@dataclass(frozen=True)
class Subject:
    """One synthetic patient.

    Args:
        number: from 1.
        trouble: "" or one of `TROUBLES`.
        seed: of the cohort.
    """

    number: int
    trouble: str
    seed: int

    @property
    def folder(self) -> str:
        """Folder of the series, unique in the cohort."""
        return f"ct-{self.number:03d}"

    def random(self) -> np.random.Generator:
        """The subject's own stream of numbers."""
        return np.random.default_rng([self.seed, self.number])

    def uid(self, *what: object) -> str:
        """A UID of this subject, the same in every run."""
        raw = hashlib.sha256(repr((self.seed, self.number, *what)).encode()).digest()[:16]
        return f"2.25.{int.from_bytes(raw, 'big')}"


def synthesise(root: Path, subjects: int, seed: int) -> None:
    """Write a cohort below `root`; equal arguments give equal files.

    `root/dicom` holds the sound subjects, one of whom carries `CANARY` as name, address and
    comment, then one subject per trouble, and beside them a localizer, a dose report and a copied
    file. `root/masks/<folder of the series>.nii.gz` holds lesions as 1 on the image's grid.
    `root/deid.key` is the key of de-identification (made from the seed, so no secret).

    Args:
        root: folder to fill, made when absent.
        subjects: how many sound ones.
        seed: of everything.
    """
    cohort = [Subject(number, "", seed) for number in range(1, subjects + 1)]
    cohort += [
        Subject(subjects + number, trouble, seed) for number, trouble in enumerate(TROUBLES, 1)
    ]
    (root / "masks").mkdir(parents=True, exist_ok=True)
    for subject in cohort:
        folder = root / "dicom" / f"patient-{subject.number:03d}" / subject.folder
        folder.mkdir(parents=True, exist_ok=True)
        image, lesions = phantom(subject)
        write_series(folder, subject, image)
        write_mask(root / "masks" / f"{subject.folder}.nii.gz", lesions)
    first = root / "dicom" / "patient-001"
    _write_localizer(first / "scout", cohort[0])
    _write_dose_report(first / "report", cohort[0])
    (first / "copy").mkdir(exist_ok=True)
    (first / "copy" / "IM0001").write_bytes((first / cohort[0].folder / "IM0001").read_bytes())
    key = root / "deid.key"
    key.touch(mode=0o600)
    key.write_text(hashlib.sha256(f"medray demo {seed}".encode()).hexdigest())


def phantom(
    subject: Subject, *, sound: bool = False
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Hounsfield units and lesions of a subject, both (Z, Y, X) with 24 to 32 slices; of one that
    is `sound` there are no lesions."""
    random = subject.random()
    depth = int(random.integers(24, 33))
    axes = [(np.arange(n) - (n - 1) / 2) / (n / 2) for n in (depth, SIZE, SIZE)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    wide, deep = random.uniform(0.78, 0.88), random.uniform(0.58, 0.68)
    image = np.full((depth, SIZE, SIZE), -1000.0)
    image[_ellipsoid(z, y, x, (0, 0, 0), (9, deep, wide))] = -100.0
    image[_ellipsoid(z, y, x, (0, 0, 0), (9, deep - 0.07, wide - 0.07))] = 45.0
    image[_ellipsoid(z, y, x, (0, 0.42, 0), (9, 0.11, 0.09))] = 450.0
    organ = (random.uniform(-0.1, 0.1), random.uniform(-0.1, 0.0), random.uniform(-0.3, -0.2))
    inside = _ellipsoid(z, y, x, organ, (0.85, 0.36, 0.38))
    image[inside] = 65.0
    lesions = np.zeros(image.shape, np.uint8)
    for _ in range(0 if sound else int(random.integers(1, 4))):
        turn, out = random.uniform(0, 2 * np.pi), random.uniform(0, 0.55)
        centre = (
            organ[0] + random.uniform(-0.45, 0.45),
            organ[1] + 0.36 * out * np.sin(turn),
            organ[2] + 0.38 * out * np.cos(turn),
        )
        radius = random.uniform(0.1, 0.17)
        lesion = inside & _ellipsoid(z, y, x, centre, (2.2 * radius, radius, radius))
        image[lesion] = random.uniform(140, 180)
        lesions[lesion] = 1
    noise = random.normal(0.0, 18.0, image.shape)
    return np.clip(np.rint(image + noise), -1024, 3071).astype(np.int16), lesions


def write_series(folder: Path, subject: Subject, image: npt.NDArray[np.int16]) -> None:
    """Write a subject's slices into `folder`, with the subject's trouble."""
    syntax = SYNTAXES[subject.number % len(SYNTAXES)]
    names_person = subject.number == 2
    for index, plane in enumerate(image):
        if subject.trouble == "missing-slice" and index == len(image) // 2:
            continue
        data = _slice(subject, index, syntax)
        if names_person:
            _name_person(data)
        stored = (plane.astype(np.int32) + 1024).astype("<u2")
        data.PixelData = stored.tobytes()
        if syntax.is_compressed:
            data.compress(syntax, stored, generate_instance_uid=False)
        path = folder / f"IM{index + 1:04d}"
        data.save_as(path, enforce_file_format=True)
        if subject.trouble == "truncated" and index == len(image) - 3:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) - 4000])


def write_mask(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    """Write a mask (Z, Y, X) as NIfTI on the grid of `write_series`."""
    affine = np.diag([-PIXEL_MM, -PIXEL_MM, SLICE_MM, 1.0])
    half = PIXEL_MM * (SIZE - 1) / 2
    affine[:2, 3] = half
    image: Any = nib.Nifti1Image  # untyped
    nib.save(image(mask.transpose(2, 1, 0), affine), path)


def _ellipsoid(
    z: Any, y: Any, x: Any, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> npt.NDArray[np.bool_]:
    distance: npt.NDArray[np.float64] = sum(
        ((axis - middle) / radius) ** 2
        for axis, middle, radius in zip((z, y, x), centre, radii, strict=True)
    )
    return distance <= 1


def _slice(subject: Subject, index: int, syntax: Any) -> Dataset:
    # A tilted gantry turns the plane and keeps the table's direction, so the stack is sheared.
    tilt = np.radians(15.0 if subject.trouble == "tilted" else 0.0)
    half = PIXEL_MM * (SIZE - 1) / 2
    data = _identified(subject, CTImageStorage, ("slice", index), ("series",), syntax)
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Modality = "CT"
    data.SliceThickness = SLICE_MM
    data.KVP = 120
    data.ConvolutionKernel = "B30f"
    data.InstanceNumber = index + 1
    data.FrameOfReferenceUID = subject.uid("frame")
    data.ImagePositionPatient = [-half, -half, SLICE_MM * index]
    data.ImageOrientationPatient = [1, 0, 0, 0, round(np.cos(tilt), 6), round(np.sin(tilt), 6)]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows = data.Columns = SIZE
    data.PixelSpacing = [PIXEL_MM, PIXEL_MM]
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    data.RescaleIntercept, data.RescaleSlope = -1024, 1
    data.RescaleType = "HU"
    return data


def _identified(
    subject: Subject,
    kind: str,
    instance: tuple[object, ...],
    series: tuple[object, ...],
    syntax: Any,
) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax.is_compressed else syntax
    data.SOPClassUID, data.SOPInstanceUID = kind, subject.uid(*instance)
    data.StudyInstanceUID = subject.uid("study")
    data.SeriesInstanceUID = subject.uid(*series)
    data.StudyDate, data.StudyTime = f"2024{subject.number % 12 + 1:02d}15", "101500"
    data.Manufacturer = "SIEMENS"
    data.SeriesDescription = "Abdomen 5.0 B30f"
    data.PatientName = f"Subject^{subject.number}"
    data.PatientID = f"P{subject.number:04d}"
    data.PatientBirthDate, data.PatientSex = "19600101", "O"
    data.StudyID, data.AccessionNumber, data.SeriesNumber = "1", "", 2
    return data


def _name_person(data: Dataset) -> None:
    data.PatientName = f"{CANARY}^JANE"
    data.PatientID = f"{CANARY}-4711"
    data.PatientAddress = f"{CANARY} Street 1"
    data.PatientComments = f"{CANARY} called twice"
    data.OtherPatientNames = f"{CANARY}^MAIDEN"
    data.ReferringPhysicianName = f"{CANARY}^DOCTOR"
    data.InstitutionName = f"{CANARY} Hospital"
    data.SeriesDescription = f"Abdomen of {CANARY}"
    block = data.private_block(0x0029, f"{CANARY} PRIVATE", create=True)
    block.add_new(0x01, "LO", f"{CANARY} in a private element")


def _write_localizer(folder: Path, subject: Subject) -> None:
    folder.mkdir(exist_ok=True)
    data = _slice(subject, 0, ExplicitVRLittleEndian)
    data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    data.SOPInstanceUID, data.SeriesInstanceUID = subject.uid("scout", 1), subject.uid("scout")
    data.PixelData = np.zeros((SIZE, SIZE), "<u2").tobytes()
    data.save_as(folder / "IM0001", enforce_file_format=True)


def _write_dose_report(folder: Path, subject: Subject) -> None:
    folder.mkdir(exist_ok=True)
    kind = XRayRadiationDoseSRStorage
    data = _identified(subject, kind, ("dose", 1), ("dose",), ExplicitVRLittleEndian)
    data.Modality = "SR"
    data.ContentDate, data.ContentTime = data.StudyDate, data.StudyTime
    data.save_as(folder / "SR0001", enforce_file_format=True)
