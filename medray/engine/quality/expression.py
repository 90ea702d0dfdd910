"""Expression over a whole dataset: lazy dask arrays of its samples, and what is computed of them.

A block of the array is a shard, so a pass over the data reads each shard once; every function takes
and gives arrays (samples, genes), chunked along samples only, NaN where a sample has no features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.errors import DataError, SpecError
from medray.storage.catalog.datasets import Dataset

Array = np.ndarray[Any, Any]
Lazy = Any  # a dask array; dask has no types

BINS = 20  # of genes by mean expression, as Seurat and scanpy have them
OVERSAMPLES, POWERS = 10, 4  # of the randomised decomposition (Halko, Martinsson and Tropp 2011)
MAX_LINKED = 5000  # samples in a tree: the distances of all pairs are held, 100 MB


def matrix(dataset: Dataset, name: str = "features", indices: Sequence[int] | None = None) -> Lazy:
    """The features of a dataset's samples as a lazy array, float32 (samples, genes).

    Args:
        dataset: whose samples have the array.
        name: of the array.
        indices: samples, ascending; None takes all.

    Raises:
        SpecError: no sample is selected ("nothing-selected"), or has the array ("no-features").
    """
    import dask
    import dask.array

    da: Any = dask.array
    chosen = list(range(len(dataset)) if indices is None else indices)
    if not chosen:
        raise SpecError("no sample is selected", code="nothing-selected", about=dataset.reference)
    places = dataset.samples.select(["_shard", "_row"]).take(chosen).to_pylist()
    by_shard: dict[int, list[int]] = {}
    for place in places:
        by_shard.setdefault(place["_shard"], []).append(place["_row"])
    width = _width(dataset, by_shard, name)
    read: Any = dask.delayed(_rows)  # type: ignore[attr-defined]
    blocks = [
        da.from_delayed(
            read(dataset.shards[shard], tuple(rows), name, width), (len(rows), width), np.float32
        )
        for shard, rows in by_shard.items()
    ]
    return da.concatenate(blocks)


@dataclass(frozen=True)
class Totals:
    """What one pass over counts tells; of samples (samples,) and of genes (genes,).

    Args:
        library: sum of each sample's values.
        detected: genes of each sample above 0.
        marked: share of each sample's values in the marked genes (mitochondrial, usually).
        cells: samples in which each gene is above 0.
        sums: of each gene's values.
    """

    library: Array
    detected: Array
    marked: Array
    cells: Array
    sums: Array


def totals(counts: Lazy, marked: Array | None = None) -> Totals:
    """Library sizes, genes detected and samples per gene, in one pass.

    Args:
        counts: (samples, genes).
        marked: bool (genes,).
    """
    import dask

    values = counts.astype(np.float64)
    above = values > 0
    chosen = values[:, np.flatnonzero(marked)] if marked is not None and marked.any() else None
    zero = np.zeros(counts.shape[0])
    compute: Any = dask.compute  # type: ignore[attr-defined]
    library, detected, some, cells, sums = compute(
        values.sum(1),
        above.sum(1),
        zero if chosen is None else chosen.sum(1),
        above.sum(0),
        values.sum(0),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(library > 0, some / library, 0.0)
    return Totals(library, detected, share, cells, sums)


def log_cpm(counts: Lazy, library: Array, scale: float = 1e6) -> Lazy:
    """log(1 + counts / library · scale): counts per million for a scale of 1e6, else per `scale`.

    Args:
        counts: (samples, genes).
        library: sums of the samples, (samples,); a sample of none stays 0.
        scale: of the sum of each sample.
    """
    import dask.array

    da: Any = dask.array
    factor = np.where(library > 0, scale / np.where(library > 0, library, 1), 0.0)
    lazy = da.from_array(factor[:, None], chunks=(counts.chunks[0], 1))
    return np.log1p(counts * lazy).astype(np.float32)


@dataclass(frozen=True)
class Variability:
    """Of each gene (genes,): log mean, log dispersion, the latter normalised within its bin."""

    mean: Array
    dispersion: Array
    normalised: Array

    def top(self, genes: int) -> Array:
        """The most variable genes, by position, the first the most; NaN never."""
        score = np.where(np.isnan(self.normalised), -np.inf, self.normalised)
        order = np.argsort(-score, kind="stable")[:genes]
        chosen: Array = order[np.isfinite(score[order])]
        return chosen


def variability(logged: Lazy) -> Variability:
    """Dispersions of genes as Seurat has them (Satija et al. 2015; scanpy's flavour "seurat").

    Variance over mean of the values before the logarithm; the logarithm of it is compared with that
    of genes of similar mean: 20 bins of equal width in log(1 + mean).

    Args:
        logged: log(1 + x), (samples, genes).
    """
    import dask

    values = np.expm1(logged.astype(np.float64))
    compute: Any = dask.compute  # type: ignore[attr-defined]
    mean, variance = compute(values.mean(0), values.var(0, ddof=1))
    mean = np.where(mean == 0, 1e-12, mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = variance / mean
        dispersion = np.log(np.where(dispersion == 0, np.nan, dispersion))
    mean = np.log1p(mean)
    low, high = mean.min(), mean.max()
    edges = np.linspace(low, high, BINS + 1)
    places = np.clip(np.searchsorted(edges, mean, side="left") - 1, 0, BINS - 1)
    normalised = np.full(len(mean), np.nan)
    for number in range(BINS):
        inside = (places == number) & ~np.isnan(dispersion)
        found = dispersion[inside]
        if len(found) == 1:  # nothing to compare with: as scanpy, 1 by definition
            normalised[inside] = 1.0
        elif len(found):
            normalised[inside] = (found - found.mean()) / found.std(ddof=1)
    return Variability(mean, dispersion, normalised)


@dataclass(frozen=True)
class Components:
    """Principal components.

    Args:
        coordinates: (samples, k).
        loadings: (k, genes), of unit length.
        explained: share of the variance that each explains, (k,).
    """

    coordinates: Array
    loadings: Array
    explained: Array


def principal_components(values: Lazy, k: int = 10, seed: int = 0) -> Components:
    """PCA by randomised decomposition (Halko, Martinsson and Tropp 2011), through dask.

    Signs are such that of each component the loading largest in size is positive.

    Args:
        values: (samples, genes), without NaN.
        k: components; fewer where the data have fewer.
        seed: of the random projection.
    """
    import dask
    import dask.array

    da: Any = dask.array
    compute: Any = dask.compute  # type: ignore[attr-defined]
    values = values.astype(np.float64)
    mean, total = compute(values.mean(0), values.var(0, ddof=1).sum())
    centred = values - mean[None]
    k = min(k, *values.shape)
    u, s, v = da.linalg.svd_compressed(
        centred, k, n_oversamples=OVERSAMPLES, n_power_iter=POWERS, seed=da.random.RandomState(seed)
    )
    u, s, v = compute(u, s, v)
    signs = np.sign(v[np.arange(k), np.abs(v).argmax(1)])
    variance = s**2 / max(1, values.shape[0] - 1)
    explained = variance / total if total > 0 else np.zeros(k)
    return Components(u * (s * signs)[None], v * signs[:, None], explained)


def correlation(values: Lazy, block: int = 1024) -> Lazy:
    """Pearson's correlation of all pairs of genes, lazily, in blocks: (genes, genes) float32.

    A block of `block` x `block` is computed from the columns it is about; genes that do not vary
    have NaN.

    Args:
        values: (samples, genes), without NaN.
        block: genes along a side of a block.
    """
    columns = values.astype(np.float64).rechunk({1: block})
    centred = columns - columns.mean(0)[None]
    scale = np.sqrt((centred**2).sum(0))
    unit = centred / np.where(scale > 0, scale, np.nan)[None]
    return (unit.T @ unit).clip(-1, 1).astype(np.float32)


def clusters(coordinates: Array, k: int, *, tree: bool = False, seed: int = 0) -> Array:
    """Groups of samples: k-means, or Ward's tree cut into `k`; int (samples,), the largest is 0.

    Args:
        coordinates: (samples, dimensions), such as principal components.
        k: groups.
        tree: hierarchical (Ward 1963), for up to 5,000 samples.
        seed: of k-means' starts.

    Raises:
        SpecError: more groups than samples ("too-many-clusters"), or too many samples for a tree
            ("too-many-samples").
    """
    if not 0 < k <= len(coordinates):
        raise SpecError(f"{k} groups of {len(coordinates)} samples", code="too-many-clusters")
    if tree:
        from scipy.cluster.hierarchy import fcluster, linkage

        if len(coordinates) > MAX_LINKED:
            raise SpecError(
                f"a tree of {len(coordinates)} samples",
                code="too-many-samples",
                hint="take k-means",
            )
        found = fcluster(linkage(coordinates, "ward"), k, "maxclust") if k > 1 else None
        labels = np.zeros(len(coordinates), int) if found is None else found - 1
    else:
        from sklearn.cluster import KMeans

        labels = KMeans(k, n_init=10, random_state=seed).fit_predict(coordinates)
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda at: (-sizes[at], first[at]))
    rank = np.empty(len(names), int)
    rank[order] = np.arange(len(names))
    ranked: Array = rank[np.searchsorted(names, labels)]
    return ranked


def _width(dataset: Dataset, by_shard: dict[int, list[int]], name: str) -> int:
    for shard, rows in by_shard.items():
        for row in rows:
            if name in dataset.shards[shard].names(row):
                shape = dataset.shards[shard].array(row, name).shape
                if len(shape) != 1:
                    raise SpecError(f"{name!r} is no list of features", code="no-features")
                return int(shape[0])
    raise SpecError(f"no sample has an array {name!r}", code="no-features", about=dataset.reference)


def _rows(shard: Any, rows: Sequence[int], name: str, width: int) -> Array:
    """Features of some rows of a shard, float32 (rows, width); NaN for a sample without."""
    made = np.full((len(rows), width), np.nan, np.float32)
    stack = shard.stack(name)
    for at, row in enumerate(rows):
        value = stack[row] if stack is not None else None
        if stack is None and name in shard.names(row):
            value = shard.array(row, name)[...]
        if value is not None:
            if value.shape != (width,):
                raise DataError("samples differ in features", code="ragged-features")
            made[at] = value
    return made
