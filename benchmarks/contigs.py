"""What headers cost: the same records on 3,301 contigs and on 300; and in 200 files and in one.

Records of ten samples, spread evenly over the contigs, bgzipped. Each file is planned and ingested
by processes of its own, in stretches of `--partition` bytes; counted is the processor's time of
planning, reading, writing and committing, imports left out. The 200 files have headers that differ
by a line, and are sites read in units as the format groups them. With `--other` another checkout of
medray does the same, in turns.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HEAD = '##fileformat=VCFv4.2\n##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
FILE_RECORDS = 1000
CHILD = """
import sys, time
from pathlib import Path
from medray.steps.ingest.resolve import OPERATION
from medray.engine.units.worker import Worker, WorkerSpec
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.steps.ingest.plan import plan_ingest
from medray.storage.store.objects import Objects
source, store = Path(sys.argv[1]), Objects(sys.argv[2])
options = {"table": sys.argv[3], "partition": int(sys.argv[4])}
each = int(sys.argv[5]) or None  # inputs in a unit; 0: as the format groups them
import pandas  # which Arrow imports at its first use: no part of what is measured
kind = FORMATS.get("vcf")
started = time.process_time()
found = kind(kind.Options.model_validate(options)).plan(Source(source))
planned = plan_ingest(found, name="vcf", identity={}, samples=each)
parameters = {"format": {"name": "vcf", **options}, "source": str(source), "split": None}
worker = Worker(WorkerSpec(OPERATION, parameters, store, "d", session="bench"))
rows = 0
for unit in planned.units:
    receipt = worker.run(unit)
    assert receipt.state == "committed" and not receipt.quarantined, receipt
    rows += receipt.rows
print(time.process_time() - started, len(planned.units), rows)
"""


def material(folder: Path, contigs: int, records: int, name: str = "x") -> Path:
    """A folder with a bgzipped VCF."""
    from pysam import tabix_compress

    folder.mkdir(exist_ok=True)
    plain = folder / f"{name}.vcf"
    each = -(-records // contigs)
    with plain.open("w") as file:
        names = [f"scaffold_{number:05d}" for number in range(contigs)]
        lines = "".join(f"##contig=<ID={name},length=900000>\n" for name in names)
        samples = "\t".join(f"s{number}" for number in range(10))
        columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"
        file.write(f"{HEAD}##source={name}\n{lines}{columns}\t{samples}\n")
        calls = "\t".join(["0/1", "0/0"] * 5)
        for number in range(records):
            at = f"{names[number // each]}\t{100 + 7 * (number % each)}"
            mark = (number * 2654435761) % 2**32  # as hard to compress as real ones
            file.write(f"{at}\trs{mark}\tA\tC\t{mark % 997}\tPASS\t.\tGT\t{calls}\n")
    tabix_compress(str(plain), f"{plain}.gz", force=True)
    plain.unlink()
    return folder


def seconds(
    build: Path, source: Path, table: str, partition: int, each: int = 1
) -> tuple[float, int, int]:
    """Processor's time of one ingest, its stretches and rows."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-c", CHILD, source, store, table, str(partition), str(each)]
        environment = {**os.environ, "PYTHONPATH": str(build)}
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment, cwd=store
        )
    took, units, rows = done.stdout.split()[-3:]
    return float(took), int(units), int(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--partition", type=int, default=2**16, help="bytes of a stretch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", type=Path, help="another checkout of medray")
    args = parser.parse_args()
    builds = {"this": Path(__file__).resolve().parent.parent}
    if args.other:
        builds["other"] = args.other.resolve()
    with tempfile.TemporaryDirectory() as folder:
        sources = {n: material(Path(folder) / str(n), n, args.records) for n in (300, 3301)}
        for table in ("sites", "calls"):
            for name, build in builds.items():
                ratios = []
                for _ in range(args.rounds):
                    few, many = (seconds(build, sources[n], table, args.partition) for n in sources)
                    ratios.append(many[0] / few[0])
                told = f"{few[0]:.1f} and {many[0]:.1f} s in {few[1]} and {many[1]} stretches"
                print(f"{table} {name}: {median(ratios):.2f} times (last: {told}, {many[2]} rows)")
        one = material(Path(folder) / "one", 25, 200 * FILE_RECORDS)
        for number in range(200):
            several = material(Path(folder) / "several", 25, FILE_RECORDS, f"x{number}")
        for name, build in builds.items():
            pairs = [
                [seconds(build, at, "sites", 2**25, 0)[0] for at in (one, several)]
                for _ in range(args.rounds)
            ]
            ratios = sorted(many / few for few, many in pairs)
            told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"200 files {name}: {median(ratios):.2f} times ({told}; last: {pairs[-1]} s)")


if __name__ == "__main__":
    main()
