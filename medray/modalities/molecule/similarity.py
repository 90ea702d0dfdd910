"""How like the training compounds a compound is: where it is like none, a model has not been.

Tanimoto similarity of environments of atoms (see `design`), folded into bits: as of Morgan
fingerprints of radius 2, and of every graph, whatever was ingested.
"""

import numpy as np

from medray.modalities.graphs import Graphs
from medray.modalities.molecule.design import COLUMNS, ROWS, environments

BITS = "bits"  # as the model's package keeps them: 256 bytes a compound


def bits_of(graphs: Graphs) -> np.ndarray:
    """Environments that are there, a bit each, uint8 (molecules, COLUMNS / 8)."""
    parts = [np.zeros((0, COLUMNS // 8), np.uint8)]
    for start in range(0, len(graphs), ROWS):
        some = graphs.take(np.arange(start, min(len(graphs), start + ROWS)))
        parts.append(np.packbits(environments(some) > 0, axis=1))
    return np.concatenate(parts)


def nearest(bits: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tanimoto similarity to the nearest of known compounds, float32 (molecules,), 0 … 1.

    Args:
        bits: uint8 (molecules, bytes), see `bits_of`.
        known: uint8 (compounds, bytes), of one at least.
    """
    words = np.ascontiguousarray(known).view(np.uint64)
    sizes = np.bitwise_count(words).sum(1, dtype=np.int64)
    found = np.empty(len(bits), np.float32)
    for at, one in enumerate(np.ascontiguousarray(bits).view(np.uint64)):
        both = np.bitwise_count(words & one).sum(1, dtype=np.int64)
        either = sizes + int(np.bitwise_count(one).sum()) - both
        found[at] = (both / np.maximum(either, 1)).max()
    return found
