"""Health records: FHIR to shards, beside a bare loop of orjson over the same files; events of
subjects to committed features of a cohort, beside pyarrow's group-by of the same events.

`fhir` (real data needed) takes the bundles of Synthea, unpacked, several times over. Of the loop
there are two: as it is written, and with Python's collector off around it, as medray has it.

`cohort` makes events of some subjects, 100 each, once as shards and once as one flat Parquet
file of them. medray counts what was known 24 hours after an admission, makes samples again for its
guard, and commits. pyarrow reads the file, finds the admission of each subject, joins it to the
events, filters by both times and counts by subject and code. The counts have to be the same. Each
candidate runs in a process of its own, which tells its peak memory.
"""

import argparse
import gc
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pairs import interleave, ratio

from medray.formats.base import Source
from medray.formats.events.columns import EVENT_ARRAYS, Events
from medray.formats.fhir import Fhir
from medray.jobs.run import run
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.shards.rows import Rows
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

EACH, SHARD, CODES = 100, 10_000, 200  # events of a subject, subjects of a shard
HOUR, DAY = 3600 * 10**6, 24 * 3600 * 10**6
COHORT = {
    "name": "cohort",
    "at": {"event": ["ADMISSION"], "plus": "24h"},
    "features": {"codes": CODES + 1, "min_subjects": 1, "age": False},
}


def fhir(data: Path, copies: int, rounds: int) -> None:
    """Seconds of the processor, one process each."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "source"
        root.mkdir()
        for number in range(copies):
            for path in sorted((data / "ehr/fhir_synthea").glob("*.json.gz")):
                text = gzip.decompress(path.read_bytes())
                (root / f"{number}-{path.stem}").write_bytes(text)
        size = sum(path.stat().st_size for path in root.iterdir())
        form = Fhir(Fhir.Options.model_validate({"deidentify": {"method": "none"}}))
        source, objects, attempts = Source(root), Objects(f"{folder}/store"), iter(range(10**6))

        def ours() -> float:
            started = time.process_time()
            for group in form.plan(source).groups:
                writer = ShardWriter(objects, f"shard-{next(attempts)}", form.arrays())
                for item in group:
                    for one in form.read(source, item):
                        writer.add(one)
                writer.finish()
            return time.process_time() - started

        def bare() -> float:
            started = time.process_time()
            for path in sorted(root.iterdir()):
                orjson.loads(path.read_bytes())
            return time.process_time() - started

        def without() -> float:
            gc.disable()
            try:
                return bare()
            finally:
                gc.enable()

        found = interleave({"medray": ours, "orjson": bare, "no collector": without}, rounds)
        print(f"{size / 2**20:.0f} MiB; orjson {size / 1e6 / min(found['orjson']):.0f} MB/s")
        ratio(found, "medray", "orjson")
        ratio(found, "medray", "no collector")


def material(root: Path, subjects: int) -> None:
    """Events of subjects, as a dataset `people` and as `flat.parquet`."""
    objects, commits = Objects(str(root / "store")), []
    names = ["ADMISSION", *(f"LAB//{number:04d}" for number in range(CODES))]
    ledger = Ledger(objects, "people")
    writer = None
    for first in range(0, subjects, SHARD):
        count = min(SHARD, subjects - first)
        rng = np.random.default_rng(first)
        time_ = rng.integers(0, 4 * DAY, (count, EACH))
        time_[:, 0] = DAY
        late = np.where(rng.random((count, EACH)) < 0.2, rng.integers(0, DAY, (count, EACH)), 0)
        code = rng.integers(1, CODES + 1, (count, EACH))
        code[:, 0], late[:, 0] = 0, 0
        order = np.argsort(time_, axis=1, kind="stable")
        time_, late, code = (
            np.take_along_axis(one, order, 1).ravel() for one in (time_, late, code)
        )
        codes = pa.array(names, pa.string()).take(pa.array(code))
        blank = pa.array([""] * len(code), pa.string())
        events = Events(
            time_, time_ + late, rng.random(len(code)), np.zeros(len(code), np.int16),
            np.arange(len(code)), codes, blank, blank, blank,
        )  # fmt: skip
        owners = pa.array([f"s{first + at:08d}" for at in range(count)], pa.string())
        table = pa.table({"sample_id": owners, "subject": owners})
        table = table.append_column("events", pa.array(np.full(count, EACH), pa.int64()))
        attempt = ledger.begin(f"u{first}")
        shard = ShardWriter(objects, ledger.shard_path(attempt), EVENT_ARRAYS)
        shard.add(Rows(table, events.packed(np.full(count, EACH, np.int64))))
        commits.append(
            ledger.commit(attempt, Commit(f"u{first}", attempt.id, shard.finish(), 1, []))
        )
        flat = pa.table(
            {
                "subject": owners.take(pa.array(np.repeat(np.arange(count), EACH))),
                "code": codes,
                "time": pa.array(time_),
                "available_at": pa.array(time_ + late),
                "value": pa.array(events.numeric_value),
            }
        )
        writer = writer or pq.ParquetWriter(root / "flat.parquet", flat.schema, compression="zstd")
        writer.write_table(flat)
    if writer:
        writer.close()
    told = {"codes": [[name, subjects, subjects] for name in names], "tables": ["made"]}
    publish(
        objects, "people", kind="gather", spec="", commits=Commits.of(commits), refused=[],
        parents=[], attributes=told,
    )  # fmt: skip


def ours(root: Path, number: int) -> dict[str, float]:
    """The cohort, to committed shards."""
    objects, name = Objects(str(root / "store")), f"cohort-{number}"
    step = {"kind": "transform", "data": "people", "operation": COHORT, "output": name}
    step["operation"] = {**COHORT, "guard": 8 + number}  # another step: else it is done already
    started = time.perf_counter()
    run([step], storage=objects, cluster="inline")
    took = time.perf_counter() - started
    made = open_dataset(objects, name)
    counts = 0.0
    for shard in made.shards:
        counts += float(shard.ragged("features").values[()].sum(dtype=np.float64))
    return {"seconds": took, "samples": len(made), "counts": counts, "peak": peak()}


def theirs(root: Path) -> dict[str, float]:
    """The same counts by pyarrow."""
    import pyarrow.compute as pc

    pa.set_cpu_count(1)
    started = time.perf_counter()
    columns = ["subject", "code", "time", "available_at"]
    table = pq.read_table(root / "flat.parquet", columns=columns, use_threads=False)
    stays = table.filter(pc.equal(table["code"], "ADMISSION")).select(["subject", "time"])
    at = pa.table({"subject": stays["subject"], "at": pc.add(stays["time"], DAY)})
    table = table.join(at, "subject", join_type="inner", use_threads=False)
    known = pc.and_(
        pc.less(table["time"], table["at"]), pc.less(table["available_at"], table["at"])
    )
    groups = table.filter(known).group_by(["subject", "code"], use_threads=False)
    found = groups.aggregate([("time", "count")])
    took = time.perf_counter() - started
    return {
        "seconds": took,
        "samples": len(at),
        "counts": float(pc.sum(found["time_count"]).as_py()),
        "peak": peak(),
    }


def peak() -> float:
    """Of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cohort(subjects: int, rounds: int, folder: Path | None) -> None:
    """Both, in turn."""
    with tempfile.TemporaryDirectory(dir=folder) as held:
        root, peaks, numbers = Path(held), dict[str, list[float]](), iter(range(10**6))
        subprocess.run([*ME, "--make", held, "--subjects", str(subjects)], check=True)
        sums: set[tuple[float, float]] = set()

        def one(name: str) -> float:
            more = ["--number", str(next(numbers)), "--subjects", str(subjects)]
            done = subprocess.run(
                [*ME, f"--{name}", str(root), *more], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            sums.add((found["samples"], found["counts"]))
            peaks.setdefault(name, []).append(found["peak"])
            return float(found["seconds"])

        took = interleave(
            {name: lambda name=name: one(name) for name in ("ours", "theirs")}, rounds
        )
        assert len(sums) == 1, sums
        events = subjects * EACH / 1e6
        print(f"{events:.1f} million events, {min(took['ours']):.1f} s; the same counts")
        ratio(took, "ours", "theirs")
        for name, found in peaks.items():
            print(f"peak of {name}: {max(found):.0f} MB")


ME = [sys.executable, __file__]


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=4, help="of the bundles")
    parser.add_argument("--folder", type=Path, help="for what is made")
    parser.add_argument("--only", choices=("fhir", "cohort"))
    for name in ("make", "ours", "theirs"):
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        material(asked.make, asked.subjects)
    elif asked.ours:
        print(json.dumps(ours(asked.ours, asked.number)))
    elif asked.theirs:
        print(json.dumps(theirs(asked.theirs)))
    else:
        data = os.environ.get("MEDRAY_DATA")
        if data and asked.only != "cohort":
            fhir(Path(data), asked.copies, asked.rounds)
        if asked.only != "fhir":
            cohort(asked.subjects, asked.rounds, asked.folder)


if __name__ == "__main__":
    main()
