"""F26, F27, F28: sources that blow up, that lead elsewhere, or that carry code.

Every case runs the command line on a folder of one good and one hostile file: the good one is
committed, the hostile one refused with a code, and nothing outside of storage changes.
"""

import gzip
import io
import json
import pickle
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from command import here, medray, write_job
from PIL import Image

GIB = 2**30


class Canary:
    """Unpickling one touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def good_nifti(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)


def good_png(path: Path) -> None:
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(path)


def nifti_claim(path: Path, canary: Path) -> None:
    """A header of 32767^3 voxels before nothing."""
    good_nifti(path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<8h", data, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    path.write_bytes(data)


def nifti_bomb(path: Path, canary: Path) -> None:
    """Half a GiB of zeros in 500 kB."""
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    head = bytearray(image.to_bytes()[:352])
    struct.pack_into("<8h", head, 40, 3, 1024, 1024, 256, 1, 1, 1, 1)
    with gzip.open(path.with_suffix(".nii.gz"), "wb", compresslevel=9) as file:
        file.write(head)
        for _ in range(512):
            file.write(bytes(2**20))


def png_claim(path: Path, canary: Path) -> None:
    """A PNG of 60,000 x 60,000 in a few bytes."""

    def part(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = part(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    body = part(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + part(b"IEND", b""))


def png_text_bomb(path: Path, canary: Path) -> None:
    """A compressed text chunk that grows to a GiB, before the picture's end."""
    good_png(path)
    data = path.read_bytes()
    packer = zlib.compressobj(9)
    text = b"k\0\0" + b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()
    check = struct.pack(">I", zlib.crc32(b"zTXt" + text))
    path.write_bytes(data[:33] + struct.pack(">I", len(text)) + b"zTXt" + text + check + data[33:])


def zarr_group(path: Path, shape: list[int], **changes: Any) -> None:
    place = path.with_suffix(".zarr")
    (place / "0").mkdir(parents=True)
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    scales = [{"name": "0", "axes": axes, "datasets": [{"path": "0"}]}]
    attributes = {"ome": {"version": "0.5", "multiscales": scales}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (place / "zarr.json").write_text(json.dumps(group))
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "int16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 64, 64]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        **changes,
    }
    (place / "0" / "zarr.json").write_text(json.dumps(array))


def zarr_claim(path: Path, canary: Path) -> None:
    """10^12 voxels, none of them stored."""
    zarr_group(path, [10**4, 10**4, 10**4])


def zarr_pickle(path: Path, canary: Path) -> None:
    """A codec that unpickles."""
    zarr_group(path, [1, 4, 4], codecs=[{"name": "numcodecs.pickle", "configuration": {}}])
    chunk = path.with_suffix(".zarr") / "0" / "c" / "0" / "0" / "0"
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(pickle.dumps(Canary(canary)))


def zarr_outside(path: Path, canary: Path) -> None:
    """The image's array lies above the source."""
    zarr_group(path, [1, 4, 4])
    place = path.with_suffix(".zarr") / "zarr.json"
    place.write_text(place.read_text().replace('"path": "0"', '"path": "../../../secret"'))


def json_depth(path: Path, canary: Path) -> None:
    """Brackets, 100,000 deep."""
    zarr_group(path, [1, 4, 4])
    (path.with_suffix(".zarr") / "0" / "zarr.json").write_text("[" * 10**5 + "]" * 10**5)


def npz(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def npy(values: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


def npz_objects(path: Path, canary: Path) -> None:
    """Arrays of pickled objects."""
    things = npy(np.array([Canary(canary)], dtype=object), allow_pickle=True)
    npz(path, {"train_images.npy": things, "train_labels.npy": things})


def npz_slip(path: Path, canary: Path) -> None:
    """Members named to leave the folder."""
    npz(path, {f"../../{canary.name}": b"x", "/tmp/../slip": b"x"})


def npz_claim(path: Path, canary: Path) -> None:
    """A header of 10^12 pixels before nothing."""
    head = npy(np.zeros((1, 4, 4), np.uint8)).replace(b"(1, 4, 4)", b"(9**9,1,)"[:9])
    npz(path, {"train_images.npy": head, "train_labels.npy": npy(np.zeros((1, 1), np.uint8))})


def link_outside(path: Path, canary: Path) -> None:
    """A link to a file that is none of the source's."""
    secret = path.parent.parent / "secret.nii"
    good_nifti(secret)
    path.symlink_to(secret)


CASES: dict[str, tuple[str, str, Callable[[Path, Path], None], dict[str, Any]]] = {
    "nifti-claim": ("nifti", "a.nii", nifti_claim, {}),
    "nifti-bomb": ("nifti", "a.nii", nifti_bomb, {}),
    "nifti-link": ("nifti", "a.nii", link_outside, {}),
    "png-claim": ("image", "a.png", png_claim, {}),
    "png-text": ("image", "a.png", png_text_bomb, {}),
    "zarr-claim": ("ome_zarr", "a", zarr_claim, {}),
    "zarr-pickle": ("ome_zarr", "a", zarr_pickle, {}),
    "zarr-outside": ("ome_zarr", "a", zarr_outside, {}),
    "zarr-depth": ("ome_zarr", "a", json_depth, {}),
    "npz-objects": ("image", "a", npz_objects, {"layout": "npz"}),
    "npz-slip": ("image", "a", npz_slip, {"layout": "npz"}),
    "npz-claim": ("image", "a", npz_claim, {"layout": "npz"}),
}


def surroundings(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.rglob("*"))
        if "store" not in path.relative_to(root).parts
    }


@pytest.mark.parametrize("case", CASES)
def test_refused_without_harm(case: str, tmp_path: Path) -> None:
    name, file, make, options = CASES[case]
    source, canary = tmp_path / "source", tmp_path / "canary"
    source.mkdir()
    (tmp_path / "secret").mkdir()
    if name == "nifti":
        good_nifti(source / "good.nii")
    elif name == "image" and not options:
        good_png(source / "good.png")
    make(source / file, canary)
    step = {
        "kind": "ingest",
        "format": {"name": name, **options},
        "source": str(source),
        "output": "x",
        "policy": {"error_budget": 1},
    }
    job = write_job(tmp_path / "job.yaml", step)
    before = surroundings(tmp_path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    where = ("--storage", str(tmp_path / "store"))
    ended = here("run", job, "--cluster", "inline", "--json", "--no-report", *where)
    # What has nothing sound beside it is all there is, and an empty dataset is never published.
    alone = not any(path.name.startswith("good") for path in source.iterdir())
    assert ended.status == (3 if alone else 0), ended.err
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown * 1024 < 200 * 2**20
    told = json.loads(ended.out)
    if alone:
        assert told["error"]["code"] == "empty-dataset"
    else:
        assert told["steps"][0]["units"]["quarantined"] == 1
        assert told["steps"][0]["units"]["committed"] == told["steps"][0]["units"]["planned"] - 1
    (refused,) = json.loads(here("quarantine", "x", "--json", *where).out)["quarantine"]
    assert refused["code"] not in ("unexpected-error", "out-of-memory", "poison", "")
    assert surroundings(tmp_path) == before, "nothing but storage was written to"


@pytest.mark.parametrize(
    "sample_id", ["../out", "/etc/medray", "a\\b", "x" * 250, ".hidden", "line\nbreak"]
)
def test_ids_that_cannot_name_files_stay_inside(
    sample_id: str, tmp_path: Path, objects: Any, make_dataset: Any
) -> None:
    from medray.storage.shards.samples import Sample

    image = np.zeros((1, 4, 4, 4), np.int16)
    row = {"spacing_mm": [1.0, 1.0, 1.0], "affine": np.eye(4).reshape(-1).tolist()}
    make_dataset("x", [Sample(name, dict(row), {"image": image}) for name in ("good", sample_id)])
    step = {
        "kind": "export",
        "data": "x",
        "format": {"name": "nifti", "array": "image"},
        "to": str(tmp_path / "out"),
        "policy": {"error_budget": 1},
    }
    job = write_job(tmp_path / "job.yaml", step)
    ended = here("run", job, "--cluster", "inline", "--no-report", "--storage", objects.url)
    assert ended.status == 0, ended.err
    written = [p.name for p in (tmp_path / "out").rglob("*") if not p.name.startswith(".")]
    assert written == ["good.nii.gz"]
    assert {path.name for path in tmp_path.iterdir()} == {"job.yaml", "out", "store"}


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_many_tiny_inputs_and_one_big_one(tmp_path: Path) -> None:
    """F24: units are cut by bytes, memory stays flat, and every input is accounted for."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2000):
        good_nifti(source / f"tiny{number:04d}.nii")
    big = np.zeros((512, 512, 600), np.int16)  # 300 MiB
    nib.save(nib.Nifti1Image(big, np.eye(4)), source / "big.nii")
    step = {"kind": "ingest", "format": {"name": "nifti"}, "source": str(source), "output": "x"}
    job = write_job(tmp_path / "job.yaml", step)
    where = ("--storage", str(tmp_path / "store"), "--cluster", "inline", "--no-report", "--json")
    ended = medray("run", job, *where, timeout_s=550)
    assert ended.status == 0, ended.err
    (made,) = json.loads(ended.out)["steps"]
    counts = {"planned": 2001, "committed": 2001, "skipped": 0, "quarantined": 0, "passed_over": 0}
    assert made["units"] == counts
    assert 0.1 * GIB < ended.peak_bytes < 1.5 * GIB
    shown = here("show", "x", "--shards", "--json", "--storage", str(tmp_path / "store"))
    rows = [shard["rows"] for shard in json.loads(shown.out)["shards"]]
    assert 1 in rows, "the big one has its unit to itself"
    assert max(rows) <= 128
