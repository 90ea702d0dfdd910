"""VCF into Zarr by two workers, beside `vcf2zarr convert` of bio2zarr with two worker processes.

Two materials: a gVCF of one sample with many fields (the real one of 301,778 records where it is
at hand), and calls of 100 samples, the records of a file of the 1000 Genomes Project over and over.
Of each the two stores are compared, array by array; then files are counted. medray checks every
value against the header, hashes, syncs, reads back and commits inside of its time. The start of
processes is outside of medray's time, since its workers serve many units, and inside of vcf2zarr's,
which starts its own; `--imports` takes the time of starting it alone away from it.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import zarr
from ingest import serve
from pairs import interleave, ratio

from medray.engine.units.worker import WorkerSpec
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.formats.vcf.store.vcz import Joined, Part
from medray.steps.ingest.plan import plan_ingest
from medray.steps.ingest.resolve import OPERATION
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.reader import Shard
from medray.storage.store.objects import Objects

VCF2ZARR = Path(sys.executable).parent / "vcf2zarr"


def calls(root: Path, data: Path, records: int) -> Path:
    """A bgzipped, indexed VCF of the real file's records, again and again, further along."""
    head, body = [], []
    for line in (data / "vcf/1kg_chr22_100samples.vcf").read_text().splitlines():
        (head if line.startswith("#") else body).append(line)
    path = root / "calls/calls.vcf.gz"
    path.parent.mkdir(parents=True)
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(("\n".join(head) + "\n").encode())
        for number in range(records):
            contig, _, rest = body[number % len(body)].split("\t", 2)
            file.write(f"{contig}\t{16_000_000 + 10 * number}\t{rest}\n".encode())
    pysam.tabix_index(str(path), preset="vcf")
    return path


def convert(path: Path, workers: list[Connection], store: Path, partition: int) -> float:
    """Seconds of medray."""
    objects = Objects(str(store))
    options = {"table": "calls", "partition": partition}
    started = time.perf_counter()
    kind = FORMATS.get("vcf")
    found = kind(kind.Options.model_validate(options)).plan(Source(path))
    planned = plan_ingest(found, name="vcf", identity={}, samples=1)
    parameters = {"format": {"name": "vcf", **options}, "source": str(path), "split": None}
    spec = WorkerSpec(OPERATION, parameters, objects, "calls", session="bench")
    for number, pipe in enumerate(workers):
        pipe.send((spec, planned.units[number :: len(workers)]))
    receipts = [receipt for pipe in workers for receipt in pipe.recv()]
    took = time.perf_counter() - started
    if any(r.state != "committed" or r.quarantined for r in receipts):
        raise SystemExit(f"not all committed: {receipts}")
    return took


def parts(store: Path) -> list[Part]:
    """What medray wrote, in the plan's order."""
    objects = Objects(str(store))
    names = [entry.path.rsplit("/", 1)[1][:-5] for entry in objects.walk("datasets/calls/commits")]
    commits = Ledger(objects, "calls").committed(names)
    found = []
    for pinned in commits.pinned():
        shard = Shard(objects, pinned)
        for number, row in enumerate(shard.table.to_pylist()):
            layout = shard.layout(number)
            assert layout is not None
            arrays: dict[str, Any] = {n: shard.array(number, n) for n in shard.names(number)}
            found.append(((row["partition"], row["part"]), Part(layout, arrays)))
    return [part for _, part in sorted(found, key=lambda each: each[0])]


def compare(store: Path, reference: Path) -> None:
    """End where an array differs; what only the reference has must be marks of nothing."""
    joined = Joined(parts(store))
    theirs = zarr.open_group(reference, mode="r")
    for name in theirs.array_keys():
        wanted = np.asarray(theirs[name][...])
        if name not in joined.axes:
            if name.startswith(("variant_", "call_")) and not nothing(wanted):
                raise SystemExit(f"{name} is missing")
            continue
        mine = np.concatenate(list(joined.slabs(name, 100_000)))
        if wanted.dtype.kind == "T":
            same = mine.shape == wanted.shape and bool((mine == wanted).all())
        else:
            kind = {"equal_nan": True} if wanted.dtype.kind == "f" else {}
            same = np.array_equal(mine, wanted, **kind)
        if not same:
            raise SystemExit(f"{name} differs")


def nothing(values: np.ndarray) -> bool:
    """Whether an array holds only marks of what is missing."""
    if values.dtype.kind == "f":
        return bool(np.isnan(values).all())
    if values.dtype.kind == "i":
        return bool((values < 0).all())
    if values.dtype.kind == "b":
        return not values.any()
    return bool(np.isin(values.astype(object), [".", ""]).all())


def files(root: Path) -> int:
    """How many files lie below a folder."""
    return sum(path.is_file() for path in root.rglob("*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--records", type=int, default=50_000, help="of the calls")
    parser.add_argument("--data", type=Path, default=os.environ.get("MEDRAY_DATA"))
    parser.add_argument("--only", choices=("gvcf", "calls"))
    parser.add_argument("--imports", action="store_true")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("set MEDRAY_DATA or --data: the material is real")
    os.environ["OMP_NUM_THREADS"] = "1"
    data = Path(args.data) / "genomics"
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs,), daemon=True).start()
        pipes.append(ours)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        material = {}
        if args.only != "calls":
            material["gvcf"] = next((data / "gvcf").glob("*.vcf.gz"))
        if args.only != "gvcf":
            material["calls"] = calls(root, data, args.records)
        idle = 0.0
        if args.imports:
            started = time.perf_counter()
            subprocess.run([VCF2ZARR, "--help"], check=True, stdout=subprocess.DEVNULL)
            idle = time.perf_counter() - started
        for name, path in material.items():
            made: list[Path] = []
            partition = max(2**16, path.stat().st_size // 2)

            def medray(path: Path = path, size: int = partition, made: list[Path] = made) -> float:
                made.append(root / f"{path.name}-{len(made)}")
                return convert(path, pipes, made[-1], size)

            def bio2zarr(path: Path = path) -> float:
                command = [VCF2ZARR, "convert", path, root / "b", "-p", "2", "-f", "-Q"]
                started = time.perf_counter()
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                return time.perf_counter() - started - idle

            seconds = interleave({"medray": medray, "vcf2zarr": bio2zarr}, args.pairs)
            compare(made[-1], root / "b")
            for who, took in seconds.items():
                print(f"{name}: {who:9} {sorted(took)[len(took) // 2]:6.2f} s")
            print(f"{name}: ", end="")
            ratio(seconds, "medray", "vcf2zarr")
            mine, theirs = files(made[-1] / "datasets/calls/shards"), files(root / "b")
            print(f"{name}: files / vcf2zarr's: {mine / theirs:.3f} ({mine} of {theirs})")
    for pipe in pipes:
        pipe.send(None)


if __name__ == "__main__":
    main()
