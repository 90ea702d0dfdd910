"""Which bonds are in rings, of many molecules at once.

RDKit knows, but to have its rings as Python's numbers takes a tenth of the time that it takes to
read a SMILES. A bond is in a ring unless it is a bridge, and bridges follow from who is bound to
whom: atoms of a SMILES stand in an order in which nearly each is bound to an earlier one, so these
bonds are trees, and every other bond closes a ring along one of them.
"""

import numpy as np


def in_rings(atoms: int, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Which bonds are in rings, bool (bonds,).

    Args:
        atoms: of all molecules together.
        begin: int64 (bonds,), the lower number of both atoms.
        end: int64 (bonds,), the higher.
    """
    tree = np.full(atoms, -1)  # of each atom a bond that leads to an earlier one
    tree[end] = np.arange(len(end))
    ring: np.ndarray = tree[end] != np.arange(len(end))
    one, other = begin[ring], end[ring]
    while len(one):
        # The later of both goes up the tree until they meet: it can't pass where they do.
        earlier, up = np.minimum(one, other), tree[np.maximum(one, other)]
        if (up < 0).any():  # they are in two trees
            place = _walked(atoms, begin, end)
            low, high = np.sort([place[begin], place[end]], axis=0)
            return in_rings(atoms, low, high)
        ring[up] = True
        apart = begin[up] != earlier
        one, other = earlier[apart], begin[up[apart]]
    return ring


def _walked(atoms: int, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Places of atoms, int64 (atoms,), so that of each molecule all but one are bound to an
    earlier one."""
    around: list[list[int]] = [[] for _ in range(atoms)]
    for one, other in zip(begin.tolist(), end.tolist(), strict=True):
        around[one].append(other)
        around[other].append(one)
    order: dict[int, None] = {}
    for first in range(atoms):
        waiting = [first]
        while waiting:
            at = waiting.pop()
            if at not in order:
                order[at] = None
                waiting += around[at]
    place = np.empty(atoms, np.int64)
    place[list(order)] = np.arange(atoms)
    return place
