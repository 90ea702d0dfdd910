"""Random 3-D patches per second from medray's shards, beside tensorstore and zarr-python.

All three read the same stored bytes: one int16 volume of 256 x 512 x 512 voxels, CT-like, in
medray's layout. A patch is 64 x 128 x 128. Readers take turns, patch lists are the same, outputs
are compared. One thread of Python each; every reader may use the threads its defaults give it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tensorstore
import zarr
from pairs import interleave, ratio
from scipy.ndimage import gaussian_filter

from medray.storage.shards.forms.ome import images
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

SHAPE, PATCH = (256, 512, 512), (64, 128, 128)


def volume(rng: np.random.Generator) -> np.ndarray:
    """CT-like: smooth structure in Hounsfield units, with scanner noise."""
    coarse = gaussian_filter(rng.normal(size=[n // 8 for n in SHAPE]), 2.0) * 4000
    fine = np.kron(coarse, np.ones((8, 8, 8)))
    return (fine + rng.normal(0, 12, SHAPE)).astype(np.int16)


def measure(
    read: Callable[[tuple[slice, ...]], np.ndarray], windows: list[tuple[slice, ...]]
) -> tuple[float, int]:
    started = time.perf_counter()
    total = 0
    for window in windows:
        total += int(read(window)[::16, ::16, ::16].sum(dtype=np.int64))
    return time.perf_counter() - started, total


def some_windows(rng: np.random.Generator, count: int) -> list[tuple[slice, ...]]:
    """Windows anywhere in the volume."""
    starts = rng.integers(0, np.subtract(SHAPE, PATCH) + 1, (count, 3)).tolist()
    return [tuple(slice(a, a + p) for a, p in zip(start, PATCH, strict=True)) for start in starts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--patches", type=int, default=40)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(folder)
        writer = ShardWriter(objects, "shard", images(labels=True))
        writer.add(Sample("ct", {"spacing_mm": [1.0, 1.0, 1.0]}, {"image": volume(rng)[None]}))
        record = writer.finish()
        array = Path(folder) / record.path / "arrays.zarr" / "0" / "image"
        ours = Shard(objects, record.pinned).array(0, "image")
        theirs = tensorstore.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(array)}}
        ).result()
        default = zarr.open_array(array, mode="r")
        readers = {
            "medray": lambda w: ours[(slice(0, 1), *w)],
            "tensorstore": lambda w: theirs[(slice(0, 1), *w)].read().result(),
            "zarr-python": lambda w: default[(slice(0, 1), *w)],
        }
        lists = [some_windows(rng, args.patches) for _ in range(args.pairs + 1)]
        sums: dict[str, list[int]] = {name: [] for name in readers}

        def turn(name: str) -> float:
            took, total = measure(readers[name], lists[len(sums[name])])
            sums[name].append(total)
            return took

        seconds = interleave({name: partial(turn, name) for name in readers}, args.pairs)
        if len({tuple(each) for each in sums.values()}) != 1:
            raise SystemExit("the readers disagree")
    size = np.prod(PATCH) * 2 / 1e6
    for name, took in seconds.items():
        rate = args.patches / statistics.median(took)
        print(f"{name:12} {rate:8.1f} patches/s {rate * size:8.0f} MB/s")
    for name in ("tensorstore", "zarr-python"):
        ratio(seconds, "medray", name)


if __name__ == "__main__":
    main()
