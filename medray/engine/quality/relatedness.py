"""Principal components of samples by their genotypes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medray.engine.quality.expression import principal_components
from medray.engine.quality.numbers_for_pages import listed
from medray.storage.shards.sample_array import SampleArray

FEWEST = 3  # samples or variants that components are made of


def principal_samples(
    calls: Sequence[SampleArray],
    chosen: Sequence[np.ndarray],
    samples: np.ndarray,
    *,
    components: int,
    variants: int,
    seed: int,
) -> dict[str, Any]:
    """Components of standardised dosages (Patterson, Price and Reich 2006).

    Dosage is the number of alleles that are not REF; a missing call has the variant's mean.

    Args:
        calls: of each partition, int8 (variants, samples, ploidy).
        chosen: variants of each partition that may be taken; evenly spaced ones are.
        samples: that are taken.
        components: how many, at most.
        variants: how many, at most.
        seed: of the randomised decomposition.

    Returns:
        `coordinates`, a list for each component over the samples; `explained`; and how many
        `variants` and `samples` they are of. Empty where there are fewer than 3 of either.
    """
    import dask.array

    da: Any = dask.array
    total = sum(len(one) for one in chosen)
    step = max(1, -(-total // variants))
    parts, passed = [], 0
    for array, places in zip(calls, chosen, strict=True):
        mine = places[(-passed) % step :: step]
        passed += len(places)
        if len(mine):
            found = da.from_array(
                array, chunks=array.chunk, asarray=False, name=False, lock=True, fancy=False
            )
            parts.append(found[mine][:, samples].map_blocks(_dosage, drop_axis=2, dtype=np.float32))
    taken = sum(part.shape[0] for part in parts)
    if min(taken, len(samples)) < FEWEST:
        return {}
    dosage = da.concatenate(parts).rechunk({1: -1})
    scaled = dosage.map_blocks(_standardised, dtype=np.float32)
    found = principal_components(scaled.T, min(components, taken, len(samples)), seed)
    return {
        "coordinates": [listed(column) for column in found.coordinates.T],
        "explained": listed(found.explained),
        "variants": taken,
        "samples": len(samples),
    }


def _dosage(genotype: np.ndarray) -> np.ndarray:
    """Alleles that are not REF, (variants, samples); NaN for a missing call."""
    dosage = (genotype > 0).sum(-1).astype(np.float32)
    dosage[(genotype == -1).any(-1) | (genotype < 0).all(-1)] = np.nan
    made: np.ndarray = dosage
    return made


def _standardised(dosage: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and, by their allele frequency, deviation 1; NaN becomes 0."""
    known = ~np.isnan(dosage)
    count = np.maximum(known.sum(1), 1)
    mean = np.where(known, dosage, 0).sum(1) / count
    share = np.clip(mean / 2, 1e-6, 1 - 1e-6)
    scaled = (dosage - mean[:, None]) / np.sqrt(2 * share * (1 - share))[:, None]
    made: np.ndarray = np.where(known, scaled, 0).astype(np.float32)
    return made
