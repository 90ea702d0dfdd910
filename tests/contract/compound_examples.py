"""Small sources of the formats of compounds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rdkit import Chem


def sdf(root: Path) -> dict[str, Any]:
    records = [Chem.MolToMolBlock(Chem.MolFromSmiles(text)) for text in ("CCO", "c1ccccc1")]
    text = "".join(f"{one}> <code>\n00{n}\n\n$$$$\n" for n, one in enumerate(records))
    (root / "a.sdf").write_text(text)
    return {"id": "code"}


def smiles(root: Path) -> dict[str, Any]:
    (root / "a.csv").write_text("smiles,y,note\nCCO,1,x\nC[C@H](N)C(=O)O,,\nc1ccccc1,2.5,y\n")
    (root / "b.smi").write_text("CC ethane\nO\n")
    return {"columns": {}}


def pairs(root: Path) -> dict[str, Any]:
    (root / "ligands_can.txt").write_text('{"a": "CCO", "b": "c1ccccc1O", "c": "CC(N)=O"}')
    (root / "proteins.txt").write_text('{"P1": "MKVLAAGIW", "P2": "GGSTYR"}')
    (root / "affinities.txt").write_text("10000 12\n430 nan\n8.5 77\n")
    (root / "folds").mkdir(exist_ok=True)
    (root / "folds" / "train_fold.txt").write_text("[[0, 3], [4]]")
    (root / "folds" / "test_fold.txt").write_text("[1, 2]")
    return {}


COMPOUNDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "pairs": pairs,
    "sdf": sdf,
    "smiles": smiles,
}
