"""What models that take compounds share: how these were read, and reading those of requests."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medray.errors import DataError, SpecError
from medray.formats.molecules.guard import Guard
from medray.formats.molecules.options import MoleculeOptions
from medray.storage.catalog.datasets import Dataset, open_dataset

READER = "medray.formats.molecules.reading:Reader"
ATOM_BYTES = 64  # of an atom with its bonds, once it is read; a character of SMILES is at most one


def reading_of(dataset: Dataset) -> dict[str, Any]:
    """What the format was told of how compounds are read; of one that was made of another, what
    that one's was told. Nothing where that is gone."""
    try:
        while "operation" in dataset.attributes:
            dataset = open_dataset(dataset.objects, dataset.parents[0])
    except SpecError:
        return {}
    told = dataset.attributes
    return {name: told[name] for name in ("standardise", "fingerprint") if name in told}


def graphs_of(
    texts: Sequence[str], reading: dict[str, Any], decoded_bytes: int
) -> list[dict[str, np.ndarray]]:
    """The arrays that ingest makes of each compound, read in a process of its own.

    Args:
        texts: SMILES.
        reading: options that compounds are read with.
        decoded_bytes: what they may take.

    Raises:
        DataError: they take more ("too-large"), or one is no compound, with the code that ingest
            would have refused it by.
    """
    if sum(map(len, texts)) * ATOM_BYTES > decoded_bytes:
        raise DataError(f"{len(texts)} compounds", code="too-large")
    options = MoleculeOptions(canonical=False, scaffold=False, **reading)
    for number, text in enumerate(texts):
        if len(text) > options.max_characters:
            raise DataError(f"compound {number}: {len(text)} characters", code="too-long")
    (parsed,) = Guard(READER, options.model_dump(), options.row_seconds).read([texts])
    for number, (code, reason) in sorted(parsed.refused.items()):
        raise DataError(f"compound {number}: {reason}", code=code)
    ends = {name: np.cumsum(lengths) for name, (_, lengths) in parsed.arrays.items()}
    return [
        {
            array: values[ends[array][at] - lengths[at] : ends[array][at]]
            for array, (values, lengths) in parsed.arrays.items()
        }
        for at in range(len(texts))
    ]
