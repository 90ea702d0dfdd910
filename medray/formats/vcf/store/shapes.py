"""Types, chunks and the index of VCF Zarr arrays."""

import math

import numpy as np

from medray.formats.vcf.text.values import TEXT
from medray.storage.shards.zarr3 import MAX_CHUNK_ELEMENTS


def narrowed(values: np.ndarray) -> np.ndarray:
    """Integers in the narrowest signed type that holds them."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    for name in ("int8", "int16", "int32"):
        info = np.iinfo(name)
        if info.min <= low and high <= info.max:
            return values.astype(name, copy=False)
    return values.astype(np.int64, copy=False)


def chunks_of(
    arrays: dict[str, np.ndarray], axes: dict[str, tuple[str, ...]], wanted: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """Inner chunks: the same for all arrays over variants and samples, as VCF Zarr asks.

    Samples of a chunk are halved until the widest array's chunk is one that a reader takes.
    """
    variants, samples = wanted
    widest = max(
        (math.prod(a.shape[2:]) for n, a in arrays.items() if n.startswith("call_")), default=1
    )
    while variants * samples * widest > MAX_CHUNK_ELEMENTS and samples > 1:
        samples //= 2
    while variants * samples * widest > MAX_CHUNK_ELEMENTS and variants > 1:
        variants //= 2
    sizes = {"variants": variants, "samples": samples}
    return {
        name: tuple(
            max(1, min(sizes.get(axis, size), size))
            for axis, size in zip(axes[name], values.shape, strict=True)
        )
        for name, values in arrays.items()
    }


def region_index(arrays: dict[str, np.ndarray], chunk: int) -> np.ndarray:
    """Where each chunk's runs of one contig lie, int32 (runs, 6).

    Fields: chunk, contig, first and last position, largest end, records. Of records that are not
    sorted the least and the largest position stand for the first and the last.
    """
    contigs = arrays["variant_contig"].astype(np.int64)
    starts = arrays["variant_position"].astype(np.int64)
    ends = starts + arrays["variant_length"] - 1
    if not len(contigs):
        return np.zeros((0, 6), np.int32)
    numbers = np.arange(len(contigs)) // chunk
    change = (np.diff(contigs) != 0) | (np.diff(numbers) != 0)
    first = np.concatenate(([0], np.flatnonzero(change) + 1))
    counts = np.diff(np.concatenate((first, [len(contigs)])))
    columns = (
        numbers[first], contigs[first], np.minimum.reduceat(starts, first),
        np.maximum.reduceat(starts, first), np.maximum.reduceat(ends, first), counts,
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.int32)


def united(lists: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Every name once, in order of first appearance, and each list's places in it."""
    places: dict[str, int] = {}
    maps = [
        np.array([places.setdefault(name, len(places)) for name in names.tolist()], np.int64)
        for names in lists
    ]
    return np.array(list(places), TEXT), maps
