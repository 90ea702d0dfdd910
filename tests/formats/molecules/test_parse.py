"""SMILES read as far as a graph needs give the graphs of those that RDKit reads in one go."""

import pytest
from rdkit import Chem

from medray.formats.molecules.graph import Graphs
from medray.formats.molecules.parse import graph_parser

READ = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "C1=CC=CC=C1",  # aromatic, though written as not
    "CN(=O)=O",  # a nitro group that RDKit writes with charges
    "c1ccc2c(c1)[nH]c1ccccc12",
    "[O]c1ccccc1",
    "C[CH]C",
    "[NH4+].[Cl-]",
    "C[Mg]Br",
    "[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1",
    "N[Pt](N)(Cl)Cl",
    "[NH3][Pt](Cl)(Cl)<-[NH3]",
    "*c1ccccc1",
    "[13CH4]",
    "[2H]OC([13CH3])(C)C",
    "[H][H]",
    "[H+].[OH-]",
    "[H]C([H])([H])C",
    "C[C@H](N)C(=O)O",
    "F/C=C\\F",
    "CC=CC",
    "C~C",
    "C$C",
    "CCO ethanol",
    "C1CC2CCC1C2",
    "c1ccc2ccccc2c1.OS(=O)(=O)O",
    "[Na+].O=C([O-])c1ccccc1",
    "CP(C)(C)(C)C",
    "B1C=CC=C1",
    "O=c1[nH]c(=O)c2[nH]cnc2[nH]1",
)
REFUSED = ("C1CC", "c1cccc1", "c1cc[n]c1", "CN(C)(C)(C)C", "[D", "C(", "Cc1cc", "[Xx]", "F(C)C")


@pytest.mark.parametrize("text", READ)
def test_graphs_are_those_of_compounds_that_were_read_whole(text: str) -> None:
    made = []
    for molecule in (graph_parser()(text), Chem.MolFromSmiles(text)):
        graphs = Graphs()
        assert molecule is not None
        graphs.add(molecule, None)
        made.append({name: one.values.tolist() for name, one in graphs.take().items()})
    assert made[0] == made[1]


@pytest.mark.parametrize("text", REFUSED)
def test_what_rdkit_can_not_read_is_none(text: str) -> None:
    assert Chem.MolFromSmiles(text) is None
    assert graph_parser()(text) is None


def test_hybridisation_is_left_out_but_where_stereo_is_written() -> None:
    plain, whole = graph_parser()("CC=CC"), graph_parser()("C/C=C/C")
    assert plain is not None
    assert whole is not None
    assert {str(atom.GetHybridization()) for atom in plain.GetAtoms()} == {"UNSPECIFIED"}
    assert "SP2" in {str(atom.GetHybridization()) for atom in whole.GetAtoms()}
