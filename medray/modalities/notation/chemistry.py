"""What RDKit says of molecules: whether a text is one, its properties, how alike two are."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from rdkit.Chem.QED import qed

PROPERTIES: dict[str, tuple[str, Callable[[Chem.Mol], float]]] = {
    "heavy": ("heavy atoms", lambda mol: mol.GetNumHeavyAtoms()),
    "logp": ("logP (Crippen)", lambda mol: rdMolDescriptors.CalcCrippenDescriptors(mol)[0]),
    "tpsa": ("TPSA, Å²", rdMolDescriptors.CalcTPSA),
    "rings": ("rings", rdMolDescriptors.CalcNumRings),
    "qed": ("QED", qed),
}
"""Those whose distributions are compared: what each is called, and what it is of a molecule."""

Print = DataStructs.ExplicitBitVect
BITS = 2048  # of a fingerprint
SIDE = 170  # of a drawing, in pixels


def molecule(text: str | None) -> Chem.Mol | None:
    """The molecule of a SMILES; None if it is none, or has no atoms."""
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(text) if text else None
    return found if found is not None and found.GetNumAtoms() else None


def canonical(mol: Chem.Mol) -> str:
    """RDKit's canonical SMILES."""
    text: str = Chem.MolToSmiles(mol)
    return text


def bits(mol: Chem.Mol) -> np.ndarray:
    """The bits that are on of its Morgan fingerprint of radius 2 in BITS bits (Rogers & Hahn 2010),
    uint16, ascending."""
    return np.array(_morgan().GetFingerprint(mol).GetOnBits(), np.uint16)


@cache
def _morgan() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)


def print_of(bits: np.ndarray) -> Print:
    """The fingerprint of its bits that are on."""
    made = Print(BITS)
    made.SetBitsFromList(bits.tolist())
    return made


def nearest(some: Sequence[Print], others: Sequence[Print], own: Sequence[int] = ()) -> np.ndarray:
    """The largest Tanimoto similarity of each to any of the others, float64 (some,).

    Args:
        some: fingerprints.
        others: fingerprints.
        own: where each stands among the others, if it does: it is not compared with itself.
    """
    found = np.zeros(len(some))
    for at, one in enumerate(some):
        alike = np.array(DataStructs.BulkTanimotoSimilarity(one, others))
        if own:
            alike[own[at]] = 0.0
        found[at] = alike.max(initial=0.0)
    return found


def diversity(some: Sequence[Print]) -> float:
    """1 - mean Tanimoto similarity over pairs of different rows (Polykovskiy et al. 2020)."""
    if len(some) < 2:
        return 0.0
    total = sum(
        sum(DataStructs.BulkTanimotoSimilarity(one, some[:at])) for at, one in enumerate(some)
    )
    return 1.0 - total / (len(some) * (len(some) - 1) / 2)


def clean(mol: Chem.Mol) -> bool:
    """Whether it has no pattern of PAINS (Baell & Holloway 2010)."""
    return not _pains().HasMatch(mol)


@cache
def _pains() -> FilterCatalog:
    chosen = FilterCatalogParams()
    chosen.AddCatalog(FilterCatalogParams.FilterCatalogs.PAINS)
    return FilterCatalog(chosen)


MEASURES: dict[str, Callable[[Chem.Mol], float]] = {
    **{name: of for name, (_, of) in PROPERTIES.items()},
    "clean": clean,
}
"""Whatever can be asked of a molecule."""


def drawn(text: str) -> bytes:
    """A molecule as SVG."""
    canvas = rdMolDraw2D.MolDraw2DSVG(SIDE, SIDE)
    canvas.drawOptions().setBackgroundColour((1.0, 1.0, 1.0, 0.0))
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, Chem.MolFromSmiles(text))
    canvas.FinishDrawing()
    made: str = canvas.GetDrawingText()
    return made.encode()


def distance(some: np.ndarray, others: np.ndarray) -> float:
    """Wasserstein's distance of two samples of numbers, in deviations of the others: the area
    between their distribution functions."""
    values = np.sort(np.concatenate([some, others]))
    shares = [
        np.sort(one).searchsorted(values[:-1], side="right") / len(one) for one in (some, others)
    ]
    area = float(np.abs(shares[0] - shares[1]) @ np.diff(values))
    return area / max(float(others.std()), 1e-12)
