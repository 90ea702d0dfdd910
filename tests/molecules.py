"""Molecules for tests, made without a library: random graphs as the format `smiles` stores them."""

import numpy as np

from medray.formats.molecules.graph import GRAPH
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

ELEMENTS = np.array([6, 6, 6, 7, 8, 9, 16, 17], np.int8)


MOLECULES: Arrays = {
    **GRAPH,
    "fingerprint": ArraySpec((Axis("bit"),), ("uint16",), ragged=True),
    "descriptors": ArraySpec((Axis("descriptor"),), ("float32",), ragged=True),
}


def graph(generator: np.random.Generator, atoms: int) -> dict[str, np.ndarray]:
    """A random tree of atoms with one ring more, where there are enough."""
    parents = [int(generator.integers(0, at)) for at in range(1, atoms)]
    bonds = [(parent, at) for at, parent in enumerate(parents, 1)]
    if atoms > 4 and (0, atoms - 1) not in bonds:
        bonds.append((0, atoms - 1))
    ends = np.array(bonds, np.uint16).reshape(-1, 2)
    made = np.zeros((atoms, 7), np.int8)
    made[:, 0] = generator.choice(ELEMENTS, atoms)
    made[:, 1] = np.bincount(ends.reshape(-1), minlength=atoms)
    made[:, 2] = generator.choice([0, 0, 0, -1, 1], atoms)
    made[:, 3] = generator.integers(0, 4, atoms)
    features = np.stack([generator.integers(1, 5, len(ends)), generator.integers(0, 2, len(ends))])
    return {"atoms": made, "bonds": ends, "bond_features": features.T.astype(np.uint8)}


def turned(molecule: dict[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:
    """The same molecule, its atoms and bonds in another order."""
    place = np.argsort(order)
    bonds = place[molecule["bonds"]][::-1, ::-1].astype(np.uint16)
    return {
        **molecule,
        "atoms": molecule["atoms"][order],
        "bonds": np.ascontiguousarray(bonds),
        "bond_features": np.ascontiguousarray(molecule["bond_features"][::-1]),
    }


def molecules(count: int, seed: int = 0, *, targets: int = 1) -> list[Sample]:
    """Samples with graphs, fingerprints and descriptors; `value` counts what is seen of a graph.

    Every fourth is of the split val, every fourth of test. Of several targets `label0`, … some are
    missing.
    """
    generator = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        arrays = graph(generator, int(generator.integers(1, 12)))
        nitrogens = int((arrays["atoms"][:, 0] == 7).sum())
        on = np.unique(generator.integers(0, 2048, 20)).astype(np.uint16)
        described = generator.normal(3, 2, 9).astype(np.float32)
        described[0] = nitrogens
        described[1] = np.nan if number % 5 == 0 else described[1]
        row = {
            "smiles": "C" * len(arrays["atoms"]),
            "split": ("train", "train", "val", "test")[number % 4],
            "fold": number % 3,
            "value": 2.0 * nitrogens - len(arrays["atoms"]) / 3,
        }
        labels = [int(len(arrays["atoms"]) > 3 * at + 2) for at in range(targets)]
        row |= {
            f"label{at}": None if (number + at) % 3 == 0 else label
            for at, label in enumerate(labels)
        }
        arrays |= {"fingerprint": on, "descriptors": described}
        samples.append(Sample(f"m{number:03d}", row, dict(arrays)))
    return samples
