"""What a plan costs beside a bare walk that asks for each file's status.

`flat`: a folder of NIfTI names (empty files: a plan reads none), planned to units with identities.
`nightly`: a tree of DICOM series of 200 slices, headers and then nothing (sparse files), planned
once, then again after a thousandth of the files came as new series; that second plan is the figure.

The bare walk is `os.walk` and `os.stat` over the same tree. Each plan and each walk runs in a
process of its own, turn by turn, after one that isn't counted; the figure is the median of the
ratios of processor times, since what else runs on a machine shows in the other. Memory is the
process's peak, less what it has before it plans. Both ways of the second plan, going on from the
first and made anew, must name the same units.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SLICES = 200
KEY = "of a benchmark, not of a site"


def flat(root: Path, files: int) -> None:
    """Empty files with the names of volumes."""
    for number in range(files):
        (root / f"case_{number:07d}.nii.gz").touch()


def header() -> bytes:
    """Of a slice, up to its pixels, with UIDs and place to be filled in."""
    from io import BytesIO

    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    ct, sop = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.77777.8888"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = ct, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = sop
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = ct, sop
    file.StudyInstanceUID, file.SeriesInstanceUID = "1.2.4.77777", "1.2.5.77777"
    file.Modality, file.PatientID = "CT", "P77777"
    file.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    file.ImagePositionPatient = [0, 0, 8888]
    file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    file.PixelSpacing, file.SliceThickness = [0.9, 0.8], 1
    file.Rows = file.Columns = 512
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation = 15, 1
    file.PixelData = b"\0\0"
    buffer = BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    data = bytearray(buffer.getvalue()[:-2])
    data[-4:] = (512 * 512 * 2).to_bytes(4, "little")  # the pixels' length
    return bytes(data)


def series(root: Path, numbers: range) -> None:
    """Series whose files hold a header, and pixels that take no room."""
    made = header()
    for number in numbers:
        folder = root / f"study-{number:05d}"
        folder.mkdir()
        own = made.replace(b"77777", b"%05d" % number)
        for z in range(SLICES):
            with (folder / f"IM{z:04d}").open("wb") as out:
                out.write(own.replace(b"8888", b"%04d" % z))
                out.truncate(len(own) + 512 * 512 * 2)


def walk(root: str) -> dict[str, Any]:
    """The bare walk."""
    began, ran, files = time.perf_counter(), time.process_time(), 0
    for folder, _, names in os.walk(root):
        for name in names:
            os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - the bare one
            files += 1
    return {"cpu": time.process_time() - ran, "wall": time.perf_counter() - began, "files": files}


def plan(root: str, name: str, storage: str) -> dict[str, Any]:
    """A plan, to units with identities."""
    from medray.steps.base.resolve import resolve
    from medray.steps.ingest.spec import IngestSpec
    from medray.storage.store.objects import Objects

    step = IngestSpec(kind="ingest", format={"name": name}, source=root, output="planned")  # type: ignore[arg-type]
    objects = Objects(storage)
    before = peak()
    began, ran = time.perf_counter(), time.process_time()
    resolved = resolve(step, objects, lambda *_: "")
    wall, cpu = time.perf_counter() - began, time.process_time() - ran
    assert resolved.planned is not None
    return {
        "cpu": cpu,
        "wall": wall,
        "memory": peak() - before,
        "inputs": resolved.planned.inputs,
        "identity": resolved.planned.identity,
    }


def peak() -> int:
    """Of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def apart(*arguments: str, base: str = "") -> dict[str, Any]:
    """What a process of its own says; of another build, where its folder is given."""
    here = base or str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": here, "MEDRAY_DEID_KEY": KEY}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def compare(what: str, root: Path, name: str, rounds: int, storage: str, base: str) -> None:
    """Print the figures of one tree."""
    ratios, others, plans = [], [], []
    for number in range(rounds + 1):
        bare = apart("--walk", str(root))
        made = apart("--plan", str(root), name, storage)
        if number:
            ratios.append(made["cpu"] / bare["cpu"])
            plans.append((made, bare))
        if base and number == 1:
            with tempfile.TemporaryDirectory() as fresh:
                earlier = apart("--plan", str(root), name, fresh, base=base)
            others.append(earlier["cpu"] / bare["cpu"])
            print(f"  the other build: {earlier['cpu']:.1f} s, {earlier['memory'] / 2**20:.0f} MiB")
    made, bare = plans[-1]
    files = bare["files"]
    print(f"  {files:,} files, {made['inputs']:,} inputs; a walk takes {bare['cpu']:.2f} s")
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}, n={len(ratios)}"
    print(f"{what}, plan ÷ bare walk: {statistics.median(ratios):.2f} ({spread})")
    print(f"{what}, memory, KiB a file: {made['memory'] / files / 1024:.2f}")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--flat", type=int, default=200_000, metavar="FILES")
    parser.add_argument("--nightly", type=int, default=200_000, metavar="FILES")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--base", default="", metavar="DIR", help="another build, to plan flat with"
    )
    parser.add_argument("--walk", help=argparse.SUPPRESS)
    parser.add_argument("--plan", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.walk:
        print(json.dumps(walk(given.walk)))
        return
    if given.plan:
        print(json.dumps(plan(*given.plan)))
        return
    with tempfile.TemporaryDirectory(prefix="medray-plan-") as folder:
        work = Path(folder)
        if given.flat:
            root = work / "flat"
            root.mkdir()
            flat(root, given.flat)
            with tempfile.TemporaryDirectory() as storage:
                compare(
                    "200,000 files in one folder", root, "nifti", given.rounds, storage, given.base
                )
        if given.nightly:
            nightly(work / "tree", given.nightly // SLICES, given.rounds)


def nightly(root: Path, count: int, rounds: int) -> None:
    """Plan, add a thousandth, plan again; each round from the state after the first plan."""
    root.mkdir()
    series(root, range(count))
    new = max(1, count // 1000)
    ratios, memory, bare = [], 0, {}
    with tempfile.TemporaryDirectory() as storage:
        first = apart("--plan", str(root), "dicom", storage)
        for number in range(rounds):
            series(root, range(count + number * new, count + (number + 1) * new))
            bare = apart("--walk", str(root))
            made = apart("--plan", str(root), "dicom", storage)
            ratios.append(made["cpu"] / bare["cpu"])
            memory = made["memory"]
        with tempfile.TemporaryDirectory() as fresh:
            anew = apart("--plan", str(root), "dicom", fresh)
        if anew["identity"] != made["identity"]:
            raise SystemExit("the plan that goes on is not the one that is made anew")
    files = bare["files"]
    print(
        f"  {files:,} files; the first plan takes {first['cpu']:.1f} s, a walk {bare['cpu']:.2f} s"
    )
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}, n={len(ratios)}"
    print(f"nightly DICOM, 0.1 % new, plan ÷ bare walk: {statistics.median(ratios):.2f} ({spread})")
    print(f"nightly DICOM, memory, KiB a file: {memory / files / 1024:.2f}")


if __name__ == "__main__":
    main()
