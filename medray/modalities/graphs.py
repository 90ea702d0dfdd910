"""Molecules end to end: a shard's ragged arrays as values and offsets, cut by numpy.

Nothing here is done molecule by molecule: a training draws thousands in a second.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa

from medray.errors import DataError


@dataclass(frozen=True)
class Graphs:
    """Graphs of molecules. Of each bond there are both directions, sorted by the atom it leads to.

    Args:
        kinds: int8 (kinds, 7), atoms that there are, each once; see medray.models.molecule.base.
        kind: int32 (atoms,), which of these each atom is.
        degrees: int32 (atoms,), directed bonds that lead to each.
        sources: int32 (directed bonds,), the atom that each comes from, within its molecule.
        reverse: int32 (directed bonds,), the same bond the other way, within its molecule.
        bonds: uint8 (directed bonds, 2).
        sizes: int64 (molecules,), atoms of each.
        directed: int64 (molecules,), directed bonds of each.
    """

    kinds: np.ndarray
    kind: np.ndarray
    degrees: np.ndarray
    sources: np.ndarray
    reverse: np.ndarray
    bonds: np.ndarray
    sizes: np.ndarray
    directed: np.ndarray

    @classmethod
    def of(
        cls,
        atoms: np.ndarray,
        sizes: np.ndarray,
        bonds: np.ndarray,
        counts: np.ndarray,
        features: np.ndarray,
    ) -> Self:
        """Graphs as they are stored.

        Args:
            atoms: int8 (atoms, 7).
            sizes: int64 (molecules,), atoms of each.
            bonds: uint16 (bonds, 2): begin and end, within the molecule; each bond once.
            counts: int64 (molecules,), bonds of each.
            features: uint8 (bonds, 2).

        Raises:
            DataError: a bond leads to no atom of its molecule (code "bad-graph").
        """
        ends = bonds.astype(np.int64)
        if len(features) != len(bonds) or (ends >= np.repeat(sizes, counts)[:, None]).any():
            raise DataError("a bond leads to no atom of its molecule", code="bad-graph")
        first = np.repeat(starts_of(sizes), counts)
        into = np.concatenate([ends[:, 1] + first, ends[:, 0] + first])
        order = np.argsort(into, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        other = np.concatenate([place[len(bonds) :], place[: len(bonds)]])[order]
        directed = 2 * counts
        kinds, kind = _kinds(atoms)
        return cls(
            kinds=kinds,
            kind=kind,
            degrees=np.bincount(into, minlength=len(atoms)).astype(np.int32),
            sources=np.concatenate([ends[:, 0], ends[:, 1]])[order].astype(np.int32),
            # Sorted by the atom they lead to, they are sorted by molecule.
            reverse=(other - np.repeat(starts_of(directed), directed)).astype(np.int32),
            bonds=np.concatenate([features, features])[order],
            sizes=sizes,
            directed=directed,
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def _first(self) -> tuple[np.ndarray, np.ndarray]:
        """Where atoms and directed bonds of each molecule begin."""
        return starts_of(self.sizes), starts_of(self.directed)

    @property
    def atoms(self) -> np.ndarray:
        """int8 (atoms, 7)."""
        atoms: np.ndarray = self.kinds[self.kind]
        return atoms

    def apart(self) -> Self:
        """With every atom as a kind of its own."""
        return replace(self, kinds=self.atoms, kind=np.arange(len(self.kind), dtype=np.int32))

    def take(self, rows: np.ndarray) -> Self:
        """Some molecules, in the order of `rows`."""
        atoms = _of_rows(rows, self._first[0], self.sizes)
        bonds = _of_rows(rows, self._first[1], self.directed)
        return type(self)(
            self.kinds,
            self.kind[atoms],
            self.degrees[atoms],
            self.sources[bonds],
            self.reverse[bonds],
            self.bonds[bonds],
            self.sizes[rows],
            self.directed[rows],
        )

    def batch(self) -> dict[str, np.ndarray]:
        """As networks take them: atoms and bonds counted over all molecules together."""
        atoms, bonds = (np.repeat(first, self.directed) for first in self._first)
        there = np.zeros(len(self.kinds), bool)
        there[self.kind] = True
        return {
            "kinds": self.kinds[there],
            "kind": (np.cumsum(there) - 1)[self.kind],
            "sizes": self.sizes,
            "degrees": self.degrees.astype(np.int64),
            "sources": self.sources + atoms,
            "reverse": self.reverse + bonds,
            "bonds": self.bonds,
        }


@dataclass(frozen=True)
class Bits:
    """Fingerprints.

    Args:
        values: int32, numbers of the bits that are on, of one molecule after the other.
        counts: int64 (molecules,), how many of each.
    """

    values: np.ndarray
    counts: np.ndarray

    @cached_property
    def _first(self) -> np.ndarray:
        return starts_of(self.counts)

    def take(self, rows: np.ndarray) -> Self:
        """Some molecules, in the order of `rows`."""
        counts = self.counts[rows]
        return type(self)(self.values[spans(self._first[rows], counts)], counts)


def _kinds(atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that differ, and which of them each row is, int32."""
    words = np.zeros((len(atoms), 8), np.int8)
    words[:, : atoms.shape[1]] = atoms
    # By hashing, which takes a tenth of sorting a million of them.
    found = pa.array(words.view(np.int64)[:, 0]).dictionary_encode()
    kinds = found.dictionary.to_numpy().view(np.int8).reshape(-1, 8)[:, : atoms.shape[1]]
    return np.ascontiguousarray(kinds), found.indices.to_numpy()


def _of_rows(rows: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray | slice:
    """Where the values of rows lie; of rows that follow each other nothing needs to be moved."""
    if len(rows) and (np.diff(rows) == 1).all():
        return slice(int(starts[rows[0]]), int(starts[rows[-1]] + lengths[rows[-1]]))
    return spans(starts[rows], lengths[rows])


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Where parts of so many values begin, int64."""
    starts: np.ndarray = np.cumsum(lengths, dtype=np.int64) - lengths
    return starts


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Indices of values that lie in spans, int64: those of the first span, of the second, …"""
    before = starts - starts_of(lengths)
    indices: np.ndarray = np.arange(int(lengths.sum())) + np.repeat(before, lengths)
    return indices
