"""What classical models take of molecules: how often each environment of an atom is there.

Environments are as of Morgan fingerprints of radius 2 (Rogers and Hahn 2010), each an atom with all
that is up to two bonds away, made of the stored graphs and counted rather than noted; so there is a
floor beside every network, whatever was ingested.
"""

from collections.abc import Sequence

import numpy as np

from medray.data.order import mixed
from medray.modalities.graphs import Graphs
from medray.modalities.molecule.cases import DESCRIPTORS, Molecules, gather
from medray.storage.catalog.datasets import Dataset

RADIUS = 2  # bonds
COLUMNS = 2048  # that environments are folded into
ROWS = 1024  # molecules at a time
MOST = 1e9  # of a descriptor, whose squares are added up; some are 10^30


def environments(graphs: Graphs) -> np.ndarray:
    """Counts of environments, float32 (molecules, COLUMNS).

    Independent of the order of atoms, and so of how a SMILES was written.
    """
    count = len(graphs)
    batch = graphs.batch()
    owner = np.repeat(np.arange(count), graphs.sizes) * COLUMNS
    into = np.repeat(np.arange(len(graphs.kind)), graphs.degrees)
    kinds = graphs.kinds.astype(np.uint8).astype(np.uint64)
    each = mixed(kinds @ (np.uint64(256) ** np.arange(kinds.shape[1], dtype=np.uint64)))
    states = each[graphs.kind]
    orders = mixed(graphs.bonds[:, 0].astype(np.uint64) + np.uint64(1))
    made = np.zeros(count * COLUMNS)
    for radius in range(RADIUS + 1):
        if radius:
            around = mixed(states[batch["sources"]] ^ orders)
            sums = np.zeros_like(states)
            np.add.at(sums, into, around)
            states = mixed(states + sums)
        folded = (states % np.uint64(COLUMNS)).astype(np.int64)
        made += np.bincount(owner + folded, minlength=len(made))
    return made.reshape(count, COLUMNS).astype(np.float32)


def design(dataset: Dataset, indices: Sequence[int], described: bool) -> np.ndarray:
    """Environments, and behind them descriptors.

    Args:
        dataset: of molecules.
        indices: which of them.
        described: whether they have descriptors.

    Returns:
        float32 (samples, columns) without NaN.
    """
    found = gather(dataset, indices, True, (DESCRIPTORS,) if described else ())
    return design_of(found, described)


def design_of(molecules: Molecules, described: bool) -> np.ndarray:
    """The same of molecules that are read, whose descriptors are as they were stored."""
    parts, graphs = [], molecules.graphs
    for start in range(0, 0 if graphs is None else len(graphs), ROWS):
        some = molecules.take(np.arange(start, min(len(graphs or ()), start + ROWS)))
        made = [] if some.graphs is None else [environments(some.graphs)]
        if described and some.descriptors is not None:
            made.append(np.nan_to_num(some.descriptors).clip(-MOST, MOST))
        parts.append(np.concatenate(made, axis=1))
    columns: np.ndarray = np.concatenate(parts)
    return columns
