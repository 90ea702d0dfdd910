"""Bonds in rings are those without which both atoms still hang together."""

import numpy as np

from medray.formats.molecules.rings import in_rings

Bonds = list[tuple[int, int]]


def graph(generator: np.random.Generator) -> tuple[int, Bonds]:
    """Atoms of some molecules, and bonds between them; some atoms have no earlier neighbour."""
    atoms, found = int(generator.integers(1, 15)), set()
    for at in range(1, atoms):
        found |= {(int(generator.integers(at)), at) for _ in range(generator.integers(0, 4))}
    return atoms, sorted(found)


def parts(atoms: int, bonds: Bonds) -> list[int]:
    """Of each atom the lowest one that it hangs together with."""
    of = list(range(atoms))
    for _ in range(atoms):
        for low, high in bonds:
            of[low] = of[high] = min(of[low], of[high])
    return of


def test_bonds_in_rings_are_no_bridges() -> None:
    generator, found = np.random.default_rng(0), []
    for _ in range(200):
        atoms, bonds = graph(generator)
        ends = np.array(bonds, np.int64).reshape(-1, 2)
        ring = in_rings(atoms, ends[:, 0], ends[:, 1])
        assert ring.shape == (len(bonds),)
        for at, (low, high) in enumerate(bonds):
            without = parts(atoms, bonds[:at] + bonds[at + 1 :])
            assert ring[at] == (without[low] == without[high])
        found += ring.tolist()
    assert 0.2 < np.mean(found) < 0.9
