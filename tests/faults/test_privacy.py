"""F29: what names a person in a source is found nowhere after it: not in storage, not in exports,
not in what commands print, not in what a neighbour sees of the processes, not in errors."""

import gzip
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from command import Ended, medray, write_job
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medray.demo import synthesise

CANARY = "ZQCANARYQZ"
NUMBER = "998877665544"  # what UIDs, numbers and ids can carry
DATE = "19470611"
TRACES = (CANARY, CANARY.lower(), NUMBER, DATE, "1947-06-11", "06/11/1947")

TEXTS = {
    "AE": CANARY,
    "AS": "047Y",
    "CS": CANARY,
    "DA": DATE,
    "DT": DATE + "101112",
    "DS": NUMBER,
    "IS": "998877665",
    "LO": CANARY,
    "LT": CANARY,
    "PN": f"{CANARY}^{CANARY}",
    "SH": CANARY,
    "ST": CANARY,
    "TM": "101112",
    "UC": CANARY,
    "UI": f"1.2.{NUMBER}",
    "UR": f"http://{CANARY}/",
    "UT": CANARY,
    "UN": CANARY.encode(),
    "OB": CANARY.encode(),
}


def traces(data: bytes) -> list[str]:
    """Which canaries stand in `data`, whatever the coding of its text."""
    return [
        trace
        for trace in TRACES
        if any(trace.encode(coding) in data for coding in ("utf-8", "utf-16-le", "utf-16-be"))
    ]


def unpacked(path: Path) -> Iterator[bytes]:
    """A file's name and bytes, and what its compression hides."""
    data = path.read_bytes()
    yield str(path).encode()
    yield data
    if path.suffix == ".parquet":
        table = pq.read_table(io.BytesIO(data))
        yield repr((table.schema, table.to_pylist())).encode()
    elif path.suffix == ".gz":
        yield gzip.decompress(data)
    elif path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
            yield repr(image.info).encode()


def found(root: Path) -> list[str]:
    """Files below `root` in whose name or content a canary stands."""
    hits = []
    for path in sorted(root.rglob("*")):
        below = path.relative_to(root)
        if traces(str(below).encode()):
            hits.append(f"{below} (name)")
        elif path.is_file():
            hits += [
                f"{below}: {traces(part)}" for part in list(unpacked(path))[1:] if traces(part)
            ]
    return hits


def check(ended: Ended, status: int = 0) -> Ended:
    assert ended.status == status, ended.err
    for text in (ended.out, ended.err, ended.seen):
        assert not traces(text.encode()), text
    return ended


def name_everywhere(data: Dataset, keep: set[int]) -> None:
    """A canary in every element of the dictionary that carries text, and in private ones."""
    for tag, (kinds, multiplicity, *_) in DicomDictionary.items():
        kind = kinds.split(" or ")[0]
        if kind not in TEXTS or tag in keep or tag >> 16 in (0x0000, 0x0002, 0x7FE0):
            continue
        many = multiplicity.split("-")[0]
        count = int(many) if many.isdecimal() else 1
        value = TEXTS[kind]
        data.add_new(tag, kind, [value] * count if count > 1 else value)
    block = data.private_block(0x0029, f"{CANARY} PRIVATE", create=True)
    block.add_new(0x01, "LO", CANARY)
    block.add_new(0x02, "UN", CANARY.encode())
    inner = Dataset()
    inner.PatientName, inner.TextValue = CANARY, CANARY
    data.RequestAttributesSequence = Sequence([inner])


def doomed(path: Path, change: dict[str, Any]) -> None:
    data = pydicom.dcmread(path)
    for name, value in change.items():
        setattr(data, name, value)
    data.save_as(path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The demo's cohort where every text that does not decide how pixels are read is a canary."""
    raw = tmp_path / "raw"
    synthesise(raw, 5, 0)
    pixel_module = {0x00080016, 0x00080018, 0x00080060, 0x00080008, 0x0020000D, 0x0020000E}
    for path in sorted((raw / "dicom").rglob("*")):
        if not path.is_file() or "ct-008" in str(path):
            continue  # the truncated one is cut anew below
        data = pydicom.dcmread(path)
        geometry = {e.tag for e in data if e.tag.group in (0x0018, 0x0020, 0x0028)}
        keep = geometry | pixel_module | {0x00080005}
        group = {tag for tag in DicomDictionary if tag >> 16 in (0x0028, 0x5400, 0x3006)}
        shared = {0x00200032, 0x00200037, 0x00180050, 0x00189073, 0x00289110, 0x00081115}
        if int(path.name[2:]) <= 3:  # the dictionary has 4,000 elements that carry text
            name_everywhere(data, keep | group | shared)
        data.StudyInstanceUID = f"1.2.{NUMBER}.{int(path.parent.parent.name[-3:])}"
        data.SeriesInstanceUID = f"1.2.{NUMBER}.{abs(hash(path.parent.name)) % 10**6}"
        data.FrameOfReferenceUID = f"1.2.{NUMBER}.7"
        data.PatientID = f"{CANARY}-{path.parent.parent.name[-3:]}"
        data.file_meta.SourceApplicationEntityTitle = CANARY
        data.preamble = (CANARY.encode() * 13)[:128]
        data.save_as(path)
    for path in sorted((raw / "dicom" / "patient-008").rglob("IM*"))[:3]:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) - 2000])
    # Text where a code is expected: the series are refused, and refusals must not quote.
    series = sorted((raw / "dicom" / "patient-005").rglob("IM*"))
    for path in series:
        doomed(path, {"Modality": CANARY, "SOPClassUID": f"1.2.{NUMBER}"})
    first = min((raw / "dicom" / "patient-006").rglob("IM*"))
    doomed(first, {"PhotometricInterpretation": CANARY, "ImageType": [CANARY, CANARY]})
    # Damage in a header whose values are canaries, and files that are none.
    (raw / "dicom" / f"{CANARY}.txt").write_text(CANARY)
    (raw / "dicom" / f"{CANARY}.dcm").write_bytes(b"\0" * 128 + b"DICM" + CANARY.encode() * 50)
    (raw / "dicom" / f"{CANARY}-link").symlink_to("/etc/hostname")
    for patient in sorted((raw / "dicom").glob("patient-*")):
        series_folder = next(patient.glob("ct-*"))
        mask = raw / "masks" / f"{series_folder.name}.nii.gz"
        mask.rename(mask.with_name(f"{CANARY}_{mask.name}"))
        series_folder.rename(patient / f"{CANARY}_{series_folder.name}")
        patient.rename(patient.with_name(f"{CANARY}^{patient.name}"))
    return raw


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:Invalid value:UserWarning")
def test_dicom_from_archive_to_report(archive: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    dicom = {
        "name": "dicom",
        "deidentify": {"key_file": str(archive / "deid.key"), "keep_sex_and_age": True},
        "labels": str(archive / "masks"),
    }
    ingest = {
        "kind": "ingest",
        "format": dicom,
        "source": str(archive / "dicom"),
        "output": "ct",
        "split": {"train": 1, "val": 1, "by": "sample", "seed": 3},
        "policy": {"error_budget": 1},
        "units": {"samples": 1},
    }
    settings = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 1, "workers": 1}
    task = {"name": "segmentation", "classes": ["background", "lesion"]}
    job = write_job(
        tmp_path / "job.yaml",
        ingest,
        {
            "kind": "train",
            "data": "ct",
            "select": {},
            "validation": {},
            "task": task,
            "model": {"name": "unet", "dims": 3, "features": [4, 8]},
            "output": "net",
            "plan": {"patch": [16, 32, 32]},
            "train": settings,
        },
        {"kind": "predict", "model": "net", "data": "ct", "output": "masks"},
        {"kind": "evaluate", "predictions": "masks", "data": "ct", "output": "scores"},
        *(
            {"kind": "export", "data": "masks", "format": {"name": name}, "to": str(out / name)}
            for name in ("dicom_seg", "nifti", "overlay", "ome_zarr", "table")
        ),
    )
    where = ("--storage", str(root))
    ended = check(medray("--debug", "run", job, "--cluster", "inline", *where, timeout_s=300))
    run = ended.out.split("run ")[-1].split()[0]
    assert "report" in ended.out
    listed = check(medray("quarantine", "ct", "--json", *where)).out
    assert listed.count('"code"') >= 8
    for command in (["status", run], ["logs", run], ["show", "ct"], ["show", "net"], ["runs"]):
        check(medray(*command, *where))
    check(medray("verify", *where))
    exported = [path for path in out.rglob("*") if path.is_file()]
    assert len(exported) > 10
    assert found(root) == []
    assert found(out) == []
    # Beyond its budget the run says how many inputs were refused and why, and nothing else.
    strict = write_job(tmp_path / "strict.yaml", {**ingest, "policy": {"error_budget": 0}})
    assert "error-budget" in check(medray("run", strict, "--cluster", "inline", *where), 3).err
    assert found(root) == []


def save_nifti(path: Path, cut: bool = False) -> None:
    image = nib.Nifti1Image(np.arange(320, dtype=np.int16).reshape(8, 8, 5), np.diag([1, 1, 2, 1]))
    header = image.header
    header["descrip"], header["aux_file"] = CANARY, CANARY
    header["intent_name"], header["db_name"] = CANARY, CANARY
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", CANARY.encode()))
    header.extensions.append(nib.nifti1.Nifti1Extension(2, CANARY.encode()))
    nib.save(image, path)
    if cut:
        path.write_bytes(path.read_bytes()[:-40])


def save_png(path: Path, cut: bool = False) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", CANARY)
    info.add_itxt("Comment", CANARY, zip=True)
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = exif[0x9286] = CANARY
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(
        path, pnginfo=info, exif=exif
    )
    if cut:
        path.write_bytes(path.read_bytes()[:-60])


def save_tiff(path: Path) -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.save(path, description=CANARY, artist=CANARY, software=CANARY, copyright=CANARY)


def save_ome(path: Path) -> None:
    import json

    from medray.formats.ome_zarr import OmeZarr
    from medray.storage.shards.samples import Sample

    values = np.arange(320, dtype=np.int16).reshape(1, 5, 8, 8)
    row = {"spacing_mm": [2.0, 1.0, 1.0]}
    list(OmeZarr(OmeZarr.Options()).write([Sample(path.stem, row, {"image": values})], path.parent))
    for document in path.parent.rglob("zarr.json"):
        content = json.loads(document.read_bytes())
        attributes = content.setdefault("attributes", {})
        attributes.update({"patient": CANARY, "creator": {"name": CANARY}})
        ome = attributes.get("ome", {})
        ome.update({"omero": {"name": CANARY, "channels": [{"label": CANARY}]}, "name": CANARY})
        for scale in ome.get("multiscales", []):
            scale.update({"name": CANARY, "type": CANARY, "metadata": {"description": CANARY}})
        document.write_text(json.dumps(content))


def test_other_formats_carry_no_text_over(tmp_path: Path) -> None:
    steps = []
    for kind in ("nifti", "image", "ome_zarr"):
        (tmp_path / kind).mkdir()
        steps.append(
            {
                "kind": "ingest",
                "format": {"name": kind},
                "source": str(tmp_path / kind),
                "output": kind.replace("_", "-"),
                "policy": {"error_budget": 0.9},
            }
        )
    save_nifti(tmp_path / "nifti" / "a.nii.gz")
    save_nifti(tmp_path / "nifti" / "b.nii")
    save_nifti(tmp_path / "nifti" / "cut.nii", cut=True)
    save_png(tmp_path / "image" / "a.png")
    save_png(tmp_path / "image" / "cut.png", cut=True)
    save_tiff(tmp_path / "image" / "b.tif")
    save_ome(tmp_path / "ome_zarr" / "a")
    for name, data in (("nifti", "nifti"), ("ome_zarr", "ome-zarr"), ("image", "image")):
        to = str(tmp_path / "out" / name)
        steps.append({"kind": "export", "data": data, "format": {"name": name}, "to": to})
        if name != "image":
            steps[-1]["format"]["array"] = "image"
    steps[-2]["format"].pop("array")
    steps[-1]["format"]["array"] = "image"
    job = write_job(tmp_path / "job.yaml", *steps)
    root = tmp_path / "root"
    where = ("--storage", str(root))
    check(medray("run", job, "--cluster", "inline", *where))
    for name, lost in (("nifti", 1), ("image", 1), ("ome-zarr", 0)):
        refused = check(medray("quarantine", name, "--json", *where)).out
        assert refused.count('"reason"') == lost
        check(medray("show", name, *where))
    assert found(root) == []
    assert found(tmp_path / "out") == []
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 2


def test_the_search_finds_what_hides(tmp_path: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.table({"x": [CANARY] * 100}), tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "b.gz").write_bytes(gzip.compress(CANARY.encode("utf-16-le")))
    save_png(tmp_path / "c.png")
    (tmp_path / CANARY).touch()
    (tmp_path / "d").write_bytes(struct.pack("<i", 3) + NUMBER.encode())
    assert len({hit.split(":")[0].split(" ")[0] for hit in found(tmp_path)}) == 5
