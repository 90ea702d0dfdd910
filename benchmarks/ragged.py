"""Ragged samples in a shard, beside the same as list columns of one Parquet file.

100,000 samples of two arrays each, sized and valued as small molecules: 10 to 40 atoms of nine
small numbers, about as many bonds of three. Parquet is written in row groups of 1,000, 10,000 and
128,000 rows, by zstd and by lz4; the best of the six is what counts. A random row is both arrays of
one sample, as numpy; files are in the page cache and open, row groups are read without threads, and
readers take turns. Objects and bytes are of all that is stored, rows included.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pairs import ratio

from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

NAMES = ("atoms", "bonds")
GROUPS, PACKINGS = (1_000, 10_000, 128_000), ("zstd", "lz4")
Read = Callable[[int], tuple[np.ndarray, np.ndarray]]


def molecules(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Atoms (n, 9) and bonds (m, 3), uint8."""
    rng = np.random.default_rng(0)
    made = []
    for atoms in rng.integers(10, 41, count).tolist():
        properties = rng.geometric(0.4, (atoms, 9)).clip(1, 20).astype(np.uint8)
        bonds = rng.integers(0, atoms, (atoms + 1, 3), dtype=np.uint8)
        made.append((properties, bonds))
    return made


def shard_of(
    objects: Objects,
    samples: list[tuple[np.ndarray, np.ndarray]],
    packing: Literal["fast", "dense"],
) -> Shard:
    """All of them in one unit."""
    axes = Axis("item"), Axis("property")
    spec = ArraySpec(axes, ("uint8",), packing=packing, ragged=True)
    writer = ShardWriter(objects, packing, dict.fromkeys(NAMES, spec))
    for number, (atoms, bonds) in enumerate(samples):
        writer.add(Sample(f"m{number}", {}, {"atoms": atoms, "bonds": bonds}))
    return Shard(objects, writer.finish().pinned)


def table_of(samples: list[tuple[np.ndarray, np.ndarray]]) -> pa.Table:
    """Lists of numbers, with ids."""
    columns = {}
    for place, name in enumerate(NAMES):
        arrays = [sample[place] for sample in samples]
        ends = np.cumsum([0, *(array.size for array in arrays)]).astype(np.int32)
        flat = np.concatenate([array.reshape(-1) for array in arrays])
        columns[name] = pa.ListArray.from_arrays(ends, flat)
    return pa.table({"sample_id": [f"m{n}" for n in range(len(samples))], **columns})


def of_shard(shard: Shard) -> Read:
    atoms, bonds = shard.ragged("atoms"), shard.ragged("bonds")
    return lambda row: (atoms.take([row])[0], bonds.take([row])[0])


def of_parquet(path: Path, group: int) -> Read:
    file = pq.ParquetFile(path)

    def read(row: int) -> tuple[np.ndarray, np.ndarray]:
        number, place = divmod(row, group)
        found = file.read_row_group(number, columns=["atoms", "bonds"], use_threads=False)
        atoms, bonds = (found[name].chunk(0)[place].values.to_numpy() for name in NAMES)
        return atoms.reshape(-1, 9), bonds.reshape(-1, 3)

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=100, help="random rows of a turn")
    parser.add_argument("--slow", type=int, default=4, help="those of Parquet")
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    samples = molecules(args.samples)
    raw = sum(array.nbytes for sample in samples for array in sample)
    print(f"{args.samples} samples, {raw / 2**20:.1f} MiB of values")
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(folder)
        shards, readers = {}, {}
        for packing in ("fast", "dense"):
            spent = time.process_time()
            shards[packing] = shard_of(objects, samples, packing)
            spent = time.process_time() - spent
            entries = list(objects.walk(packing))
            size = sum(entry.size for entry in entries)
            readers[f"medray, {packing}"] = of_shard(shards[packing])
            told = f"{len(entries)} objects, {size / 2**20:.1f} MiB, {spent:.1f} s to write"
            print(f"medray, {packing}: {told}")
        table = table_of(samples)
        for group in GROUPS:
            for packing in PACKINGS:
                path = Path(folder) / f"{group}.{packing}.parquet"
                pq.write_table(table, path, row_group_size=group, compression=packing)
                name = f"parquet, {packing}, groups of {group}"
                readers[name] = of_parquet(path, group)
                print(f"{name}: 1 object, {path.stat().st_size / 2**20:.1f} MiB")
        rng = np.random.default_rng(1)
        times: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(args.turns):
            rows = rng.integers(0, args.samples, args.rows).tolist()
            for name, read in readers.items():
                some = rows if name.startswith("medray") else rows[: args.slow]
                started = time.process_time()
                got = [read(row) for row in some]
                times[name].append((time.process_time() - started) / len(some))
                for row, arrays in zip(some, got, strict=True):
                    pairs = zip(arrays, samples[row], strict=True)
                    assert all(np.array_equal(one, other) for one, other in pairs), name
        for name, spent in times.items():
            told = f"{min(spent) * 1e6:.0f}-{max(spent) * 1e6:.0f}, n={len(spent)}"
            print(f"{name}: {statistics.median(spent) * 1e6:.0f} us of a processor a row ({told})")
        best = min((k for k in times if "parquet" in k), key=lambda k: statistics.median(times[k]))
        print(f"best of parquet: {best}")
        times["parquet"] = times[best]
        for packing, shard in shards.items():
            times[f"medray ragged, {packing}"] = times[f"medray, {packing}"]
            ratio(times, f"medray ragged, {packing}", "parquet")
            started = time.process_time()
            for _ in range(args.turns):
                for name in NAMES:
                    shard.ragged(name).take(rng.integers(0, args.samples, 256).tolist())
            spent = (time.process_time() - started) / args.turns / 256
            print(f"medray, {packing}, of 256 rows taken at once: {spent * 1e6:.0f} us a row")


if __name__ == "__main__":
    main()
