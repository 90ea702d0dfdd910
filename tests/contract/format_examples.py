"""A small source of each format that can be read, and a sample for each that can be written.

Whoever adds a format adds one line to SOURCES or WRITTEN; `test_formats` holds it to the contract.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image as Pillow

from medray.formats.ome_zarr import OmeZarr
from medray.storage.shards.samples import Layout, Sample
from tests.contract.compound_examples import COMPOUNDS
from tests.contract.document_examples import DOCUMENTS, marked
from tests.contract.object_examples import boxed, in_series, made_up
from tests.contract.record_examples import RECORDS, subject
from tests.contract.slide_examples import heat, slide
from tests.contract.table_examples import table
from tests.contract.wfdb_examples import recorded, wfdb
from tests.formats.edf.made import File, Lead, clocked, noise

CT = "1.2.840.10008.5.1.4.1.1.2"
AFFINE = np.diag([0.8, 0.9, 2.0, 1.0])


def pixels(dtype: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (4, 12, 10)).astype(dtype)


def nifti(root: Path) -> dict[str, Any]:
    for name in ("a", "b"):
        for folder, values in (("images", pixels()), ("labels", pixels("uint8") % 3)):
            (root / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(values, AFFINE), root / folder / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(pixels(), AFFINE), root / "images" / "c.nii")
    return {"labels": "optional"}


def image(root: Path) -> dict[str, Any]:
    for name, suffix in (("a", "png"), ("b", "tif")):
        for folder in ("images", "masks"):
            (root / folder).mkdir(exist_ok=True)
            Pillow.fromarray(pixels("uint8")[0] % 3).save(root / folder / f"{name}.{suffix}")
    return {"layout": "masks"}


def ome_zarr(root: Path) -> dict[str, Any]:
    list(OmeZarr(OmeZarr.Options()).write([written()], root))
    return {}


def dicom(root: Path) -> dict[str, Any]:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    for z, plane in enumerate(pixels()):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CT
        meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{z}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = FileDataset(f"{z}.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = CT, f"1.2.3.4.{z}"
        file.StudyInstanceUID, file.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
        file.FrameOfReferenceUID, file.Modality = "1.2.3.3", "CT"
        file.PatientID, file.PatientName, file.StudyDate = "CANARY1", "CANARY^NAME", "20200102"
        file.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        file.ImagePositionPatient = [0, 0, 2.0 * z]
        file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        file.PixelSpacing, file.SliceThickness = [0.9, 0.8], 2
        file.Rows, file.Columns = plane.shape
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 1
        file.RescaleSlope, file.RescaleIntercept = 1, -1024
        file.PixelData = plane.tobytes()
        file.save_as(root / f"{z}.dcm", enforce_file_format=True)
    return {"deidentify": {"method": "none"}}


def expression(root: Path) -> dict[str, Any]:
    head = "%%MatrixMarket matrix coordinate integer general\n%made by a test\n3 20 20\n"
    for name, text in (
        ("matrix.mtx.gz", head + "".join(f"{n % 3 + 1} {n + 1} {n + 5}\n" for n in range(20))),
        ("barcodes.tsv.gz", "".join(f"CELL{n}-1\n" for n in range(20))),
        ("features.tsv.gz", "".join(f"ENSG{n}.4\tG{n}\tGene Expression\n" for n in range(3))),
    ):
        (root / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    return {}


def fasta(root: Path) -> dict[str, Any]:
    """Plain with an index, plain without, gzipped and bgzipped."""
    letters = "".join(np.random.default_rng(0).choice(list("ACGTacgtN"), 300))
    lines = [letters[at : at + 60] for at in range(0, 300, 60)]
    whole = "\n".join([">chr1 first", *lines, ""]).encode()
    (root / "a.fa").write_bytes(whole)
    (root / "a.fa.fai").write_text("chr1\t300\t12\t60\t61\n")
    (root / "b.fa").write_bytes(b">chr2\n" + letters.encode() + b"\r\n>chr3\r\nACGT\r\n")
    (root / "c.fa.gz").write_bytes(gzip.compress(b">chrM\nGATTACA\n", mtime=0))
    (root / "d.fa.bgz").write_bytes(bgzip(b">chrX\nGATTACA\n"))
    return {}


def bgzip(text: bytes) -> bytes:
    """One block and the empty one that ends a file (SAM specification, 4.1)."""
    made = b""
    for part in (text, b""):
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = packer.compress(part) + packer.flush()
        head = struct.pack(
            "<BBBBIBBHBBHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(packed) + 25
        )
        made += head + packed + struct.pack("<II", zlib.crc32(part), len(part))
    return made


def bed(root: Path) -> dict[str, Any]:
    (root / "a.bed").write_text(
        "track name=x\nchr1\t10\t20\nchr1\t0\t5\tn\t3.5\t-\n"
        "chr2\t5\t50\tn\t0\t+\t6\t7\t0,0,0\t2\t5,6,\t0,39,\n"
    )
    (root / "b.bedgraph").write_text("chr1 0 10 0.5\nchr1 10 20 -1e-3\n")
    return {"lengths": {"chr1": 100, "chr2": 100}}


def gff(root: Path) -> dict[str, Any]:
    (root / "a.gtf").write_text(
        'chr1\thavana\tgene\t11\t20\t.\t+\t.\tgene_id "ENSG00000236875.3"; gene_name "X";\n'
        'chr1\thavana\texon\t11\t15\t1.5\t-\t0\tgene_id "ENSG00000236875.3"; tag "basic";\n'
    )
    (root / "b.gff3").write_text(
        "##gff-version 3\nchr1\tx\tCDS\t1\t9\t.\t?\t2\tID=a%3Bb;Parent=c\n##FASTA\n>chr1\nACGT\n"
    )
    return {}


def bigwig(root: Path) -> dict[str, Any]:
    import pybigtools

    values = np.random.default_rng(0).normal(size=200).round(3)
    for name in ("a", "b"):
        file = pybigtools.open(str(root / f"{name}.bw"), "w")
        lengths = {"chr1": 2000, "chr2": 130}
        runs = [("chr1", 10 * n, 10 * n + 9, float(v)) for n, v in enumerate(values)]
        file.write(lengths, [*runs, ("chr2", 3, 100, 1.5)])
    return {"missing": "zero", "dtype": "float32"}


def sequences(root: Path) -> dict[str, Any]:
    (root / "a.csv").write_text(
        "sequence,label,count,score,note\n  ACGT ,EI,1,0.5,x\nggu,IE,-2,NA,\nNRYA,N,30,1e-3,y\n"
    )
    (root / "b.fa").write_text(">one x\nACGT\nAC\n>two\nGGGT\n")
    return {}


def vcf(root: Path) -> dict[str, Any]:
    from pysam import BGZFile

    head = "##fileformat=VCFv4.2\n##contig=<ID=1>\n"
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tCANARY1\tb\n"
    lines = "".join(f"1\t{n}\t.\tA\tC\t9\tPASS\t.\tGT\t0/1\t1|1\n" for n in range(1, 40))
    for name in ("a", "b"):  # blocked, since nothing tells where a plain one was cut between lines
        with BGZFile(str(root / f"{name}.vcf.gz"), "wb") as file:
            file.write((head + lines).encode())
    return {}


def signal_npz(root: Path) -> dict[str, Any]:
    """Digital beats of two records, with all that can be told of them."""
    chance = np.random.default_rng(0)
    np.savez_compressed(
        root / "a.npz",
        x=chance.integers(-300, 300, (12, 2, 20), np.int16),
        y=np.arange(12) % 3,
        symbol=np.array(list("NVN/") * 3),
        record=np.repeat(np.int16([100, 101]), 6),
        rr=chance.uniform(0.5, 1.2, (12, 2)).astype(np.float32),
        at=np.arange(12) * 100,
        fs=125,
        scale=np.float32(0.005),
    )
    named = {"signal": "x", "rate": "fs", "scale": "scale", "record": "record", "rr": "rr"}
    named |= {"labels": "y", "symbol": "symbol", "start": "at", "context": "median-beat"}
    return {**named, "leads": ["MLII", "V1"], "classes": ["N", "V", "S"], "columns": {"sign": "y"}}


def edf(root: Path) -> dict[str, Any]:
    leads = [Lead(noise(3, rate, rate)) for rate in (20, 1, 20)]
    told = clocked(["+0.25", "+1.25", "+2.25"], {1: b"+1\x152.5\x14Apnea\x14\0"})
    (root / "a.edf").write_bytes(File(leads, told).bytes())
    (root / "b.bdf").write_bytes(File([Lead(noise(2, 9, bits=24))], width=3).bytes())
    return {"deidentify": {"method": "none"}}


def signal_table(root: Path) -> dict[str, Any]:
    lines = ["A,B,eye\n", *(f"{n / 4},{-n},{n % 2}\n" for n in range(50))]
    (root / "a.csv").write_text("".join(lines))
    return {"rate": 128, "label": "eye", "deidentify": {"method": "none"}}


SOURCES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "bed": bed,
    "bigwig": bigwig,
    **COMPOUNDS,
    **DOCUMENTS,
    "dicom": dicom,
    "edf": edf,
    "expression": expression,
    "fasta": fasta,
    "gff": gff,
    "image": image,
    **RECORDS,
    "nifti": nifti,
    "ome_zarr": ome_zarr,
    "sequences": sequences,
    "signal-npz": signal_npz,
    "signal-table": signal_table,
    "slide": slide,
    "table": table,
    "vcf": vcf,
    "wfdb": wfdb,
}
IMAGES = ("dicom", "image", "nifti", "ome_zarr")
# Text that is cut between two lines is a shorter text: nothing in it says that there was more.
# Of records a letter of an id makes another person: rows are counted, in tests of these formats.
UNCOUNTED = (
    "signal-table", "bed", "fasta", "gff", "sequences", "sdf", "smiles",
    *(DOCUMENTS.keys() - {"brat"}), *RECORDS,
)  # fmt: skip


def written(sample_id: str = "case") -> Sample:
    """A volume with its mask, and all that any format wants to know of it."""
    label = pixels("uint8") % 3
    geometry = {
        "study": "2.25.1",
        "series": "2.25.2",
        "frame_of_reference": "2.25.3",
        "sop_class": CT,
        "modality": "CT",
        "patient": "subject-1",
        "date": "2020-01-02",
        "rows": label.shape[1],
        "columns": label.shape[2],
        "spacing_mm": [0.9, 0.8],
        "orientation": [1, 0, 0, 0, 1, 0],
        "thickness_mm": 2.0,
        "deidentified": True,
        "slices": [
            {"sop": f"2.25.{100 + z}", "frame": 1, "position_mm": [0.0, 0.0, 2.0 * z]}
            for z in range(len(label))
        ],
    }
    row = {
        "subject": "subject-1",
        "spacing_mm": [2.0, 0.9, 0.8],
        "affine": AFFINE.reshape(-1).tolist(),
        "dicom_geometry": json.dumps(geometry),
    }
    return Sample(sample_id, row, {"image": pixels()[None], "label": label})


def flat(sample_id: str = "case") -> Sample:
    """In two dimensions."""
    whole = written(sample_id)
    arrays = {"image": whole.arrays["image"][:, 0], "label": whole.arrays["label"][0]}
    return Sample(sample_id, {"subject": "subject-1", "spacing_mm": [0.9, 0.8]}, arrays)


def measured(sample_id: str = "case") -> Sample:
    """A cell with the expression of three genes."""
    row = {"subject": "subject-1", "feature_names": ["a", "b", "c"], "cells": 2}
    return Sample(sample_id, row, {"features": np.arange(3, dtype=np.float32)})


def track(sample_id: str = "case") -> Sample:
    """A contig's track, one bin without a value."""
    row = {"contig": "chr1", "length": 30, "bin_bases": 8}
    return Sample(sample_id, row, {"track": np.array([[0.5, 0.5, np.nan, 2]], np.float16)})


def contig(sample_id: str = "case") -> Sample:
    """A contig's bases."""
    return Sample(sample_id, {"contig": "chr1"}, {"sequence": np.arange(5, dtype=np.uint8)})


def called(sample_id: str = "case") -> Sample:
    """Two records of two samples."""
    text = np.dtypes.StringDType()
    arrays = {
        "variant_contig": np.zeros(2, np.int8),
        "variant_position": np.array([5, 9], np.int8),
        "variant_length": np.ones(2, np.int8),
        "variant_allele": np.array([["A", "C"], ["G", "T"]], text),
        "variant_filter": np.ones((2, 1), bool),
        "variant_id": np.array([".", "rs1"], text),
        "variant_quality": np.array([1, 2], np.float32),
        "call_genotype": np.array([[[0, 1], [1, 1]], [[-1, -1], [0, 0]]], np.int8),
        "call_genotype_phased": np.zeros((2, 2), bool),
        "contig_id": np.array(["1"], text),
        "filter_id": np.array(["PASS"], text),
        "filter_description": np.array([""], text),
        "sample_id": np.array(["a", "b"], text),
    }
    names = {"variant": "variants", "call": "variants", "contig": "contigs", "filter": "filters"}
    inner = {
        "variant_allele": ("alleles",), "variant_filter": ("filters",), "call_genotype": ("samples",
        "ploidy"), "call_genotype_phased": ("samples",),
    }  # fmt: skip
    axes = {n: (names.get(n.split("_")[0], "samples"), *inner.get(n, ())) for n in arrays}
    chunks = {name: values.shape for name, values in arrays.items()}
    layout = Layout({"vcf_zarr_version": "0.5"}, axes, chunks)
    return Sample(sample_id, {"subject": "a.vcf"}, dict(arrays), layout)


WRITTEN: dict[str, Callable[[str], Sample]] = {
    "bed": track,
    "box_overlay": boxed,
    **dict.fromkeys(("brat", "conll"), marked),
    "dicom_sc": lambda name: made_up(written(name)),
    "dicom_seg": written,
    "dicom_sr": lambda name: in_series(written(name)),
    "edf": recorded,
    "expression": measured,
    "fasta": contig,
    "geojson": heat,
    "heat_map": heat,
    "image": flat,
    "meds": subject,
    "nifti": written,
    "ome_zarr": written,
    "overlay": written,
    "track_plot": track,
    "vcf": called,
    "wfdb": recorded,
}

JOINED = (
    "annotated_vcf", "detections", "document_reference", "fhir", "intervals", "table",
    "wfdb-annotations",
)  # fmt: skip
"""Written from many units together: each has tests of its own."""
