"""What one record of many ALTs costs among thousands of two: peak memory and size of the store.

4,000 records of 60 samples with GT, AD and PL, each sample with all the likelihoods that Number=G
asks for; then the same file with one record of 100 ALTs in the middle, which has 5,151 likelihoods
a sample. Each is ingested by a process of its own, whose VmHWM counts, into a committed shard; the
file beside it is converted by `vcf2zarr convert` of bio2zarr.
"""

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

VCF2ZARR = Path(sys.executable).parent / "vcf2zarr"
HEAD = """##fileformat=VCFv4.2
##contig=<ID=1,length=9000000>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">
##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"""
CHILD = """
import sys
from pathlib import Path
from medray.steps.ingest.resolve import OPERATION
from medray.engine.units.worker import Worker, WorkerSpec
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.steps.ingest.plan import plan_ingest
from medray.storage.store.objects import Objects
path, store = Path(sys.argv[1]), Objects(sys.argv[2])
options = {"table": "calls"}
kind = FORMATS.get("vcf")
found = kind(kind.Options.model_validate(options)).plan(Source(path))
planned = plan_ingest(found, name="vcf", identity={}, samples=1)
parameters = {"format": {"name": "vcf", **options}, "source": str(path), "split": None}
worker = Worker(WorkerSpec(OPERATION, parameters, store, "calls", session="bench"))
for unit in planned.units:
    receipt = worker.run(unit)
    assert receipt.state == "committed" and not receipt.quarantined, receipt
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""


def material(path: Path, records: int, samples: int, alts: int) -> Path:
    """A VCF, one of whose records has `alts` ALTs; 1 for none that stands out."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(HEAD + "\t".join(f"s{number}" for number in range(samples)) + "\n")
        for number in range(records):
            count = alts if number == records // 2 else 1
            names = ",".join("A" + "C" * (1 + at) for at in range(count)) if count > 1 else "C"
            width = math.comb(count + 2, 2)
            values = rng.integers(0, 900, (samples, width + count + 1)).tolist()
            calls = (
                f"0/{number % (count + 1)}:{','.join(map(str, row[: count + 1]))}:"
                f"{','.join(map(str, row[count + 1 :]))}"
                for row in values
            )
            fixed = f"1\t{1000 + 10 * number}\t.\tA\t{names}\t.\tPASS\t.\tGT:AD:PL\t"
            file.write(fixed + "\t".join(calls) + "\n")
    return path


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def converted(path: Path, store: Path) -> int:
    """Peak of vcf2zarr, which converts in its own process."""
    from pysam import tabix_compress, tabix_index

    packed = path.with_suffix(".vcf.gz")
    tabix_compress(str(path), str(packed), force=True)
    tabix_index(str(packed), preset="vcf", force=True)
    watch = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    command = [VCF2ZARR, "convert", packed, store, "-f", "-Q", "-p", "0"]
    done = subprocess.run([sys.executable, "-c", watch, *command], check=True, capture_output=True)
    return int(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--alts", type=int, default=100)
    parser.add_argument("--no-reference", action="store_true", help="leave out vcf2zarr")
    args = parser.parse_args()
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, alts in (("without", 1), ("with", args.alts)):
            path = material(Path(folder) / f"{name}.vcf", args.records, args.samples, alts)
            store = Path(folder) / f"{name}-store"
            command = [sys.executable, "-c", CHILD, path, store]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            peaks[name] = int(done.stdout)
            print(f"{name:8} {peaks[name] / 1e6:8.0f} MB of memory, {size(store) / 1e6:6.2f} MB")
            if not args.no_reference:
                theirs = Path(folder) / f"{name}-reference"
                peak = converted(path, theirs)
                print(f"vcf2zarr {peak / 1e6:8.0f} MB of memory, {size(theirs) / 1e6:6.2f} MB")
    print(f"peak with ÷ without: {peaks['with'] / peaks['without']:.3f}")


if __name__ == "__main__":
    main()
