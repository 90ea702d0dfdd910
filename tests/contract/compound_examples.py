"""Small sources of the formats of compounds."""

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
