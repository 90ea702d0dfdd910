"""REF/ALT pairs of windows per second on one core, beside the same made one by one of a memory map.

The variants are a call set's: 85 % SNVs, the rest insertions and deletions of 1 to 20 bases, sorted
by position. "numpy" cuts each window by itself from a memory-mapped contig of uint8 and puts ALT in
its place: what a data loader does without a builder. "bare" copies as many windows as the builder
makes, from the same memory and nothing else: what no builder can beat.
"""

import argparse
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pairs import interleave, ratio

from medray.formats.genomics.alphabet import decode
from medray.steps.variants.windows import Alleles, Stretch, VariantWindows

CONTIG = 20_000_000
BATCH = 1024


def call_set(codes: np.ndarray, count: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Positions (sorted), REF and ALT."""
    rng = np.random.default_rng(1)
    positions = np.sort(rng.choice(np.arange(10_000, CONTIG - 10_000), count, replace=False)) + 1
    refs, alts = [], []
    for position, kind in zip(positions, rng.random(count), strict=True):
        size = int(rng.integers(1, 21))
        more = decode(rng.integers(0, 4, size).astype(np.uint8))
        first = decode(codes[position - 1 : position])
        ref = decode(codes[position - 1 : position + size]) if kind > 0.925 else first
        snv = "ACGT"[("ACGT".index(first) + 1) % 4]
        refs.append(ref)
        alts.append(snv if kind < 0.85 else first + more if kind <= 0.925 else first)
    return positions, refs, alts


def built(
    codes: np.ndarray, positions: np.ndarray, refs: pa.Array, alts: pa.Array, length: int
) -> float:
    started = time.perf_counter()
    stretch = Stretch(codes, 0, CONTIG)
    made = VariantWindows(stretch, positions, Alleles.of(refs), Alleles.of(alts), length)
    for at in range(0, len(made.scored), BATCH):
        part = slice(at, at + BATCH)
        made.alternative(part)
        made.reference(part)
    return time.perf_counter() - started


def one_by_one(
    codes: np.ndarray, positions: np.ndarray, refs: list[str], alts: list[str], length: int
) -> float:
    letters = np.zeros(256, np.uint8)
    letters[list(b"ACGT")] = range(4)
    started = time.perf_counter()
    pair = np.empty((BATCH, 2, length), np.uint8)
    for number, (position, ref, alt) in enumerate(zip(positions, refs, alts, strict=True)):
        start = int(position) - 1 - length // 2
        window = codes[start : start + length + len(ref)]
        new = letters[np.frombuffer(alt.encode(), np.uint8)]
        changed = np.concatenate([window[: length // 2], new, window[length // 2 + len(ref) :]])
        pair[number % BATCH, 0] = window[:length]
        pair[number % BATCH, 1] = np.resize(changed, length)
    return time.perf_counter() - started


def bare(codes: np.ndarray, positions: np.ndarray, length: int) -> float:
    started = time.perf_counter()
    view = np.lib.stride_tricks.sliding_window_view(codes, length)
    for at in range(0, len(positions), BATCH):
        part = positions[at : at + BATCH]
        view[part]
        view[part]
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=50_000)
    parser.add_argument("--length", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    made = np.random.default_rng(0).integers(0, 4, CONTIG).astype(np.uint8)
    positions, refs, alts = call_set(made, args.variants)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contig"
        made.tofile(path)
        codes = np.memmap(path, np.uint8, "r")
        columns = pa.array(refs), pa.array(alts)
        seconds = interleave(
            {
                "medray": partial(built, made, positions, *columns, args.length),
                "numpy": partial(one_by_one, codes, positions, refs, alts, args.length),
                "bare": partial(bare, made, positions, args.length),
            },
            args.pairs,
        )
    for name, took in seconds.items():
        print(f"{name:8} {args.variants / statistics.median(took):10,.0f} pairs/s of {args.length}")
    rate = args.variants / statistics.median(seconds["medray"]) / 1000
    print(f"window builder, thousand pairs/s: {rate:.1f}")
    ratio(seconds, "medray", "numpy")
    ratio(seconds, "medray", "bare")


if __name__ == "__main__":
    main()
