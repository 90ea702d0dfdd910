"""A molecule as a graph in three small arrays, and the one place that says what their columns mean.

    atoms          int8 (atoms, 7), see ATOM_COLUMNS
    bonds          uint16 (bonds, 2): begin < end, numbers of atoms within the molecule, each bond
                   once, ascending
    bond_features  uint8 (bonds, 2), see BOND_COLUMNS

Hydrogens are counted and are no atoms, unless the compound says so ([2H], [H][H]). Nothing depends
on how a SMILES is written but the order of atoms: chirality is R or S, never "clockwise".

A loop over atoms in Python takes as long as it takes to read the SMILES. So RDKit's invariant of an
atom (a hash of its element, neighbours, hydrogens, charge and whether it is in a ring, 32 bits) is
asked for, all of a molecule's in one call, and only an invariant that was not seen before has its
atom looked at: of half a million atoms some hundreds.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from medray.formats.molecules.rings import in_rings
from medray.storage.shards.rows import EndToEnd
from medray.storage.shards.schema import ArraySpec, Axis

if TYPE_CHECKING:
    from rdkit.Chem import Atom, BondStereo, BondType, Mol, QueryAtom

# Name of each column, and how many values it has: 0 … n - 1, of the charge -8 … 8.
ATOM_COLUMNS = {
    "element": 119,  # atomic number; 0 is a dummy (*)
    "degree": 16,  # neighbours other than hydrogens
    "charge": 17,  # formal
    "hydrogens": 16,  # implicit or not
    "ring": 2,  # whether in one
    "aromatic": 2,
    "stereo": 6,  # 0, or 1: R, 2: S (CIP); + 3: of an isotope that is named
}
BOND_COLUMNS = {
    "order": 8,  # 1, 2, 3, 4: aromatic, 5: any other, 6: double E, 7: double Z
    "ring": 2,  # whether in one
}
MOST_CHARGE = 8

ATOMS, BONDS, BOND_FEATURES = "atoms", "bonds", "bond_features"
GRAPH = {
    ATOMS: ArraySpec(
        (Axis("atom"), Axis("column", "channel")), ("int8",), chunk=(2**13, None), ragged=True
    ),
    BONDS: ArraySpec(
        (Axis("bond"), Axis("end", "channel")), ("uint16",), chunk=(2**14, None), ragged=True
    ),
    BOND_FEATURES: ArraySpec(
        (Axis("bond"), Axis("column", "channel")), ("uint8",), chunk=(2**15, None), ragged=True
    ),
}
FINGERPRINT, DESCRIPTORS, COORDINATES = "fingerprint", "descriptors", "coordinates"
ARRAYS = {
    **GRAPH,
    FINGERPRINT: ArraySpec((Axis("bit"),), ("uint16",), ragged=True),  # those that are on
    DESCRIPTORS: ArraySpec((Axis("descriptor"),), ("float32",), ragged=True),
    COORDINATES: ArraySpec(
        (Axis("atom"), Axis("axis", "channel", "angstrom")), ("float32",), ragged=True
    ),
}

_SAID = re.compile(r"[/\\~$<>@]|\[\d")  # in a SMILES: what few say
_ODD = frozenset("/\\~$<>")  # of these: E and Z, or bonds other than 1, 2, 3 and aromatic
_LOOSE = frozenset("~$<>")  # bonds that may not count when RDKit looks for rings
_CHIRAL = frozenset("@[")  # chirality, or an isotope
_CODES = np.full(16, 5, np.uint8)  # of twice a bond's entry in a matrix: 1, 1.5, 2, 3; 6, 7
_CODES[[2, 3, 4, 6, 12, 14]] = [1, 4, 2, 3, 6, 7]
_FLAT = 2**16  # entries of matrices that are gone through at once: half a MiB stays in a cache
# Elements whose bonds all count when RDKit looks for rings; those to metals may not.
_COUNTED = frozenset((1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53))


class Graphs:
    """Makes arrays of molecules; remembers what atoms look like, so one for many calls."""

    def __init__(self) -> None:
        from rdkit.Chem import GetAdjacencyMatrix  # once: to import takes 3 us each time
        from rdkit.Chem.rdMolDescriptors import GetConnectivityInvariants

        self._matrix, self._invariants = GetAdjacencyMatrix, GetConnectivityInvariants
        self._kinds: dict[int, int] = {}  # invariant: row of the table
        self._table: list[list[int]] = []
        self._uncounted: set[int] = set()  # of these rows
        self._atoms: list[int] = []  # rows of the table
        self._stereo: list[tuple[int, int]] = []  # number among all atoms, code
        self._sizes: list[int] = []
        self._matrices: list[np.ndarray] = []
        self._told: dict[int, set[tuple[int, int]]] = {}  # number of a matrix: bonds in rings
        self._held = 0
        self._bonds: list[tuple[np.ndarray, ...]] = []

    def add(self, molecule: "Mol", text: str | None) -> None:
        """Take a molecule.

        Args:
            molecule: sanitised, hydrogens removed, with stereo perceived; not without atoms.
            text: SMILES that it was read from: what is not written there is not looked for. None:
                all is looked for.
        """
        invariants = self._invariants(molecule)
        try:
            kinds = [self._kinds[kind] for kind in invariants]
        except KeyError:
            kinds = self._new(molecule, invariants)
        matrix = self._matrix(
            molecule, True
        )  # of bonds' orders; by name it takes half as long again
        said = "" if text is None else "".join(_SAID.findall(text))
        if text is None or not _ODD.isdisjoint(said):
            _mark(molecule, matrix)
        if text is None or not (_LOOSE.isdisjoint(said) and self._uncounted.isdisjoint(kinds)):
            self._told[len(self._matrices)] = _in_rings(molecule)
        if text is None or not _CHIRAL.isdisjoint(said):
            before = len(self._atoms)
            self._stereo += [(before + atom, code) for atom, code in _stereo(molecule).items()]
        self._atoms += kinds
        self._sizes.append(len(invariants))
        self._matrices.append(matrix)
        self._held += matrix.size
        if self._held >= _FLAT:
            self._flush()

    def _new(self, molecule: "Mol", invariants: Sequence[int]) -> list[int]:
        """Rows of the table, of a molecule with atoms that were not seen before."""
        for atom, kind in zip(molecule.GetAtoms(), invariants, strict=True):
            if kind not in self._kinds:
                if atom.GetAtomicNum() not in _COUNTED:
                    self._uncounted.add(len(self._table))
                self._kinds[kind] = len(self._table)
                self._table.append(_features(atom))
        return [self._kinds[kind] for kind in invariants]

    def take(self) -> dict[str, EndToEnd]:
        """The arrays GRAPH of what was added since the last call, at least one molecule."""
        if self._matrices:
            self._flush()
        sizes = np.array(self._sizes, np.int64)
        bonds, features, counts = map(np.concatenate, zip(*self._bonds, strict=True))
        atoms = np.array(self._table, np.int8)[self._atoms]
        aromatic = features[:, 0] == 4
        owner = np.repeat(np.cumsum(sizes) - sizes, counts)[aromatic]
        atoms[(owner[:, None] + bonds[aromatic]).reshape(-1), 5] = 1
        for atom, code in self._stereo:
            atoms[atom, 6] = code
        self._atoms, self._stereo, self._sizes, self._bonds = [], [], [], []
        return {
            ATOMS: EndToEnd(atoms, sizes),
            BONDS: EndToEnd(bonds, counts),
            BOND_FEATURES: EndToEnd(features, counts),
        }

    def _flush(self) -> None:
        sizes = np.array([len(matrix) for matrix in self._matrices], np.int64)
        ends, features, counts = _bonds(self._matrices, sizes)
        first = np.repeat(np.cumsum(sizes) - sizes, counts)
        features[:, 1] = in_rings(int(sizes.sum()), *(ends + first[:, None]).T)
        stops = np.cumsum(counts).tolist()
        for at, told in self._told.items():
            mine = slice(stops[at] - int(counts[at]), stops[at])
            features[mine, 1] = [tuple(bond) in told for bond in ends[mine].tolist()]
        self._bonds.append((ends.astype(np.uint16), features, counts))
        self._matrices, self._told, self._held = [], {}, 0


def _features(atom: "Atom") -> list[int]:
    hydrogens = atom.GetTotalNumHs(includeNeighbors=True)
    charge = atom.GetFormalCharge()
    return [
        atom.GetAtomicNum(),
        min(atom.GetTotalDegree() - hydrogens, 15),
        max(-MOST_CHARGE, min(charge, MOST_CHARGE)),
        min(hydrogens, 15),
        int(atom.IsInRing()),
        0,
        0,
    ]


def _bonds(
    matrices: list[np.ndarray], sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends, features without rings, and how many, of the bonds of molecules by their matrices."""
    squares = sizes**2
    starts = np.cumsum(squares) - squares
    flat = np.concatenate([matrix.reshape(-1) for matrix in matrices])
    at = np.flatnonzero(flat != 0)  # of numbers it takes three times as long
    entries = np.diff(np.searchsorted(at, [*starts, len(flat)]))
    owner = np.repeat(np.arange(len(sizes)), entries)
    begin, end = np.divmod(at - starts[owner], sizes[owner])
    once = np.flatnonzero(begin < end)
    at, owner, begin, end = at[once], owner[once], begin[once], end[once]
    features = np.zeros((len(at), 2), np.uint8)
    features[:, 0] = _CODES[np.minimum(2 * flat[at], 15).astype(np.int64)]
    counts = np.bincount(owner, minlength=len(sizes)).astype(np.int64)
    return np.stack([begin, end], axis=1), features, counts


def _in_rings(molecule: "Mol") -> set[tuple[int, int]]:
    """Ends of bonds in rings, the lower first, as RDKit has them."""
    rings = molecule.GetRingInfo().AtomRings()
    pairs = [pair for ring in rings for pair in zip(ring, (*ring[1:], ring[0]), strict=True)]
    return {(min(pair), max(pair)) for pair in pairs}


@cache
def _asked() -> "tuple[QueryAtom, QueryAtom]":
    """Atoms with a chirality, atoms of a named isotope: found thrice as fast as by a loop."""
    from rdkit.Chem import rdqueries

    return rdqueries.HasPropQueryAtom("_CIPCode"), rdqueries.IsotopeGreaterQueryAtom(0)


def _stereo(molecule: "Mol") -> dict[int, int]:
    """Codes of atoms with chirality or an isotope."""
    chiral, isotope = _asked()
    codes: dict[int, int] = {}
    for atom in molecule.GetAtomsMatchingQuery(chiral):
        codes[atom.GetIdx()] = {"R": 1, "S": 2}.get(atom.GetProp("_CIPCode"), 0)
    for atom in molecule.GetAtomsMatchingQuery(isotope):
        codes[atom.GetIdx()] = codes.get(atom.GetIdx(), 0) + 3
    return codes


def _mark(molecule: "Mol", matrix: np.ndarray) -> None:
    """Write codes of bonds that their order does not tell."""
    codes = _codes()
    for bond in map(molecule.GetBondWithIdx, range(molecule.GetNumBonds())):
        code = codes.get((bond.GetBondType(), bond.GetStereo()), 5)
        if code:
            begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            matrix[begin, end] = matrix[end, begin] = code


@cache
def _codes() -> "dict[tuple[BondType, BondStereo], int]":
    """Codes of bonds by their kind and stereo, of those that their order tells."""
    from rdkit.Chem import BondStereo, BondType

    plain = (BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE, BondType.AROMATIC)
    told = {(kind, stereo): 0 for kind in plain for stereo in BondStereo.values.values()}
    double = BondType.DOUBLE
    return {**told, (double, BondStereo.STEREOE): 6, (double, BondStereo.STEREOZ): 7}
