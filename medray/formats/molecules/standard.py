"""One form for compounds that are written in several: their salts, charges, labels and stereo."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

from medray.errors import DataError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

Part = Literal["fragment", "charge", "isotopes", "stereo"]

# Acids and bases that drugs are made salts of, neutral and without stereo. Pamoic acid is larger
# than pyrantel, so the largest fragment of pyrantel pamoate is not the drug.
_FORMERS = """
    OC=O CC(=O)O O=C(O)C(F)(F)F CCC(=O)O O=C(O)C(=O)O O=C(O)CC(=O)O O=C(O)CCC(=O)O
    O=C(O)C=CC(=O)O O=C(O)CC(O)C(=O)O O=C(O)C(O)C(O)C(=O)O O=C(O)CC(O)(CC(=O)O)C(=O)O
    CC(O)C(=O)O O=C(O)CO O=C(O)CCCC(=O)O O=C(O)CCCCC(=O)O O=C(O)C(O)C(O)C(O)C(O)CO
    O=C(O)C1OC(O)C(O)C(O)C1O O=C(O)c1ccccc1 O=C(O)c1ccccc1O O=C(O)C(O)c1ccccc1
    O=C(O)CNC(=O)c1ccccc1 CS(=O)(=O)O CCS(=O)(=O)O O=S(=O)(O)CCO O=S(=O)(O)CCS(=O)(=O)O
    O=S(=O)(O)c1ccccc1 Cc1ccc(S(=O)(=O)O)cc1 O=S(=O)(O)c1ccc(Cl)cc1 O=S(=O)(O)c1cccc2ccccc12
    O=S(=O)(O)c1ccc2ccccc2c1 O=S(=O)(O)c1cccc2c1cccc2S(=O)(=O)O CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2
    O=C(O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O O=C(O)c1ccc2ccccc2c1O
    CCCCCCCCCCCCCCCCCC(=O)O CCCCCCCCCCCCCCCC(=O)O CCCCCCCCCCCC(=O)O COS(=O)(=O)O
    NC(CO)(CO)CO NCCO OCCNCCO OCCN(CCO)CCO CNCC(O)C(O)C(O)C(O)CO NCCN CCNCC CCN(CC)CC
    C[N+](C)(C)CCO c1ccc(CNCCNCc2ccccc2)cc1 C1CCC(NC2CCCCC2)CC1 NCCCCC(N)C(=O)O
    N=C(N)NCCCC(N)C(=O)O CO CCO CC(C)=O CS(C)=O CN(C)C=O ClCCl ClC(Cl)Cl CCOC(C)=O CC#N
"""


def standard(molecule: "Mol", parts: Sequence[Part]) -> tuple["Mol", list[Part]]:
    """A compound in one form, and what of `parts` changed it.

    Args:
        molecule: sanitised.
        parts: "fragment" keeps the largest organic one, of those that are no usual partner in
            salts if there are any; "charge" neutralises by protons; "isotopes" and "stereo" are
            forgotten.

    Raises:
        DataError: nothing of it is organic (code "emptied").
    """
    from rdkit.Chem import MolFromSmiles, MolToSmiles, RemoveStereochemistry
    from rdkit.Chem.MolStandardize.rdMolStandardize import Uncharger

    changed: list[Part] = []
    before = MolToSmiles(molecule)
    text = before
    for part in ("fragment", "charge", "isotopes", "stereo"):
        if part not in parts:
            continue
        match part:
            case "fragment":
                molecule = largest(molecule)
            case "charge":
                molecule = Uncharger().uncharge(molecule)
            case "isotopes":
                for atom in molecule.GetAtoms():
                    atom.SetIsotope(0)
            case "stereo":
                RemoveStereochemistry(molecule)
        after = MolToSmiles(molecule)
        if after != text:
            changed.append(part)
            text = after
    if not changed:
        return molecule, []
    again = MolFromSmiles(text)  # rings, aromaticity and stereo as of any other
    if again is None:
        raise DataError("RDKit can't read its standard form", code="unreadable")
    return again, changed


def largest(molecule: "Mol") -> "Mol":
    """The largest organic fragment; see `standard`.

    Raises:
        DataError: there is none (code "emptied").
    """
    from rdkit.Chem import GetMolFrags, MolToSmiles
    from rdkit.Chem.MolStandardize.rdMolStandardize import Uncharger

    several = GetMolFrags(molecule, asMols=True)
    organic = [one for one in several if any(a.GetAtomicNum() == 6 for a in one.GetAtoms())]
    if not organic:
        raise DataError("nothing of the compound is organic", code="emptied")
    if len(several) == 1:
        return molecule
    neutral = Uncharger()

    def rank(one: "Mol") -> tuple[bool, int, str]:
        bare = MolToSmiles(neutral.uncharge(one), isomericSmiles=False)
        return bare not in formers(), one.GetNumHeavyAtoms(), MolToSmiles(one)

    found: Mol = max(organic, key=rank)
    return found


@cache
def formers() -> frozenset[str]:
    """Canonical SMILES of what salts and solvates are formed with."""
    from rdkit.Chem import MolFromSmiles, MolToSmiles

    return frozenset(MolToSmiles(MolFromSmiles(text)) for text in _FORMERS.split())
