"""Training windows of DNA per second from medray's loader, beside a plain gather of a memory map.

Both give batches of 128 windows of 2,000 bases as uint8, in the same random order. "memmap" is what
a script does: rows of a memory-mapped array of tokens, picked by a permutation and copied. "medray"
is a training's loader over a stored dataset, with its targets and its order for any number of
ranks; "augmented" also shows half of the windows from the other strand. Filling the loader's memory
from the dataset happens once in a training: its time stands apart.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pairs import interleave, ratio
from scoring import stored

from medray.data.order import Order, permutation
from medray.formats.genomics.alphabet import decode
from medray.modalities.sequence.augment import SequenceAugment
from medray.modalities.sequence.cases import SequenceCases, SequenceLoader
from medray.storage.shards.rows import Rows
from medray.storage.store.objects import Objects

BATCH, SEED = 128, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=50_000)
    parser.add_argument("--length", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    codes = np.random.default_rng(0).integers(0, 4, (args.windows, args.length)).astype(np.uint8)
    steps = args.windows // BATCH
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            "sample_id": [f"w{number}" for number in range(args.windows)],
            "sequence": [decode(row) for row in codes],
        }
        data = stored(Objects(folder), "windows", [Rows(pa.table(rows))])
        started = time.perf_counter()
        cases = SequenceCases(data, range(args.windows), args.length)
        filled = time.perf_counter() - started
        path = Path(folder) / "windows"
        codes.tofile(path)
        mapped = np.memmap(path, np.uint8, "r", shape=codes.shape)
        order = Order(args.windows, BATCH, SEED)
        targets = torch.zeros(args.windows)
        sums: set[int] = set()

        def memmap() -> float:
            started, total = time.perf_counter(), 0
            shuffled = permutation(SEED, 0, args.windows)
            for step in range(steps):
                batch = torch.from_numpy(mapped[shuffled[step * BATCH : (step + 1) * BATCH]])
                total += int(batch[:, 0].sum())
            sums.add(total)
            return time.perf_counter() - started

        def loaded(augment: SequenceAugment | None) -> float:
            loader = SequenceLoader(cases, order, targets=targets, augment=augment)
            started, total = time.perf_counter(), 0
            for batch in loader.batches(0, steps):
                total += int(batch.parts[0].inputs[:, 0].sum())
            if augment is None:
                sums.add(total)
            return time.perf_counter() - started

        turned = SequenceAugment(reverse_complement=True)
        seconds = interleave(
            {
                "medray": lambda: loaded(None),
                "augmented": lambda: loaded(turned),
                "memmap": memmap,
            },
            args.pairs,
        )
    if len(sums) != 1:
        raise SystemExit("the batches differ")
    for name, took in seconds.items():
        rate = steps * BATCH / statistics.median(took)
        print(f"{name:10} {rate:10,.0f} windows/s of {args.length}")
    print(f"filling    {args.windows / filled:10,.0f} windows/s")
    ratio(seconds, "medray", "memmap")
    ratio(seconds, "augmented", "memmap")


if __name__ == "__main__":
    main()
