"""Pairs for tests, made without a library: random graphs and residues, each stored once."""

import numpy as np

from medray.formats.molecules.residues import RESIDUES, sequence_id
from medray.formats.pairs.options import ARRAYS, COMPOUND
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from tests.molecules import molecules

PAIRS: Arrays = dict(ARRAYS)
LETTERS = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8)


def pairs(compounds: int, proteins: int, seed: int = 0) -> list[Sample]:
    """Every pair of some compounds and proteins; every fourth is of the split val, or of test.

    `affinity` is what the compound adds, what the protein adds (tryptophans), and a little of both.
    """
    generator = np.random.default_rng(seed)
    graphs = molecules(compounds, seed)
    lengths = generator.integers(5, 90, proteins)
    chains = [generator.choice(LETTERS, length) for length in lengths]
    samples = []
    for number in range(compounds * proteins):
        c, p = divmod(number, proteins)
        graph, chain = graphs[c], chains[p]
        own = {COMPOUND[name]: np.asarray(graph.arrays[name]) for name in COMPOUND}
        arrays = {name: array if p == 0 else array[:0] for name, array in own.items()}
        arrays[RESIDUES] = chain if c == 0 else chain[:0]
        tryptophans = int((chain == ord("W")).sum())
        worth = graph.row["value"], float(tryptophans)
        row = {
            "smiles": graph.row["smiles"],
            "canonical": f"c{c}",
            "sequence_id": sequence_id(chain.tobytes()),
            "split": ("train", "train", "val", "test")[int(generator.integers(4))],
            "affinity": worth[0] + worth[1] + 0.1 * worth[0] * worth[1],
        }
        samples.append(Sample(f"pair-{number:04d}", row, dict(arrays)))
    return samples
