"""Graphs of compounds are what RDKit says of each atom and bond, asked one by one."""

import random

import numpy as np
import pytest
from rdkit import Chem

from medray.formats.molecules.graph import ATOM_COLUMNS, BOND_COLUMNS, Graphs

SMILES = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "F/C=C/F",
    "F/C=C\\F",
    "[2H]OC([13CH3])(C)C",
    "[H][H]",
    "[NH4+].[Cl-]",
    "c1ccc2c(c1)[nH]c1ccccc12",
    "C1CC2CCC1C2",
    "[NH3][Pt](Cl)(Cl)<-[NH3]",
    "O=C(C#N)c1ccsc1",
    "C",
    "*c1ccccc1",
)
ORDERS = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "AROMATIC": 4}


def one_by_one(molecule: Chem.Mol) -> tuple[list[list[int]], list[list[int]]]:
    atoms, bonds = [], []
    for atom in molecule.GetAtoms():
        cip = atom.GetProp("_CIPCode") if atom.HasProp("_CIPCode") else ""
        atoms.append(
            [
                atom.GetAtomicNum(),
                sum(other.GetAtomicNum() != 1 for other in atom.GetNeighbors()),
                atom.GetFormalCharge(),
                atom.GetTotalNumHs(includeNeighbors=True),
                int(atom.IsInRing()),
                int(atom.GetIsAromatic()),
                {"R": 1, "S": 2}.get(cip, 0) + 3 * bool(atom.GetIsotope()),
            ]
        )
    for bond in molecule.GetBonds():
        order = ORDERS.get(str(bond.GetBondType()), 5)
        if order == 2:
            order = {"STEREOE": 6, "STEREOZ": 7}.get(str(bond.GetStereo()), 2)
        ends = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        bonds.append([*ends, order, int(bond.IsInRing())])
    return atoms, sorted(bonds)


def graphs(molecules: list[Chem.Mol], texts: list[str | None]) -> list[tuple[list, list]]:
    made = Graphs()
    for molecule, text in zip(molecules, texts, strict=True):
        made.add(molecule, text)
    arrays = made.take()
    bonds = np.concatenate([arrays["bonds"].values, arrays["bond_features"].values], axis=1)
    atoms = np.split(arrays["atoms"].values, np.cumsum(arrays["atoms"].lengths)[:-1])
    bonds = np.split(bonds, np.cumsum(arrays["bonds"].lengths)[:-1])
    return [(one.tolist(), other.tolist()) for one, other in zip(atoms, bonds, strict=True)]


@pytest.mark.parametrize("told", [True, False])
def test_graphs_are_what_each_atom_and_bond_says(told: bool) -> None:
    molecules = [Chem.MolFromSmiles(text) for text in SMILES]
    made = graphs(molecules, [text if told else None for text in SMILES])
    assert made == [one_by_one(molecule) for molecule in molecules]


def test_values_lie_within_the_sizes_that_networks_are_made_for() -> None:
    made = Graphs()
    for text in SMILES:
        made.add(Chem.MolFromSmiles(text), text)
    arrays = made.take()
    atoms, bonds = arrays["atoms"].values, arrays["bond_features"].values
    assert atoms.dtype == np.int8
    assert (arrays["bonds"].values.dtype, bonds.dtype) == (np.uint16, np.uint8)
    charge = list(ATOM_COLUMNS).index("charge")
    atoms = atoms.astype(int)
    atoms[:, charge] += ATOM_COLUMNS["charge"] // 2
    assert (atoms >= 0).all()
    assert (atoms < np.array(list(ATOM_COLUMNS.values()))).all()
    assert (bonds < np.array(list(BOND_COLUMNS.values()))).all()


def test_mirror_images_and_e_and_z_differ_and_the_same_compound_does_not() -> None:
    def form(text: str) -> list[list[list[int]]]:
        atoms, bonds = graphs([Chem.MolFromSmiles(text)], [text])[0]
        return [sorted(atoms), sorted(bond[2:] for bond in bonds)]

    left, right, trans, cis = map(form, SMILES[1:5])
    assert left != right
    assert trans != cis
    shuffled = random.Random(0)
    for text in SMILES:
        molecule = Chem.MolFromSmiles(text)
        order = list(range(molecule.GetNumAtoms()))
        shuffled.shuffle(order)
        other = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
        assert form(other) == form(text), other
