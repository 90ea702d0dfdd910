"""Drawings of compounds for pages, made by a process of its own: RDKit now and then hangs.

python -m medray.modalities.molecule.draw    SMILES in JSON to pictures in JSON
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence

WIDTH, HEIGHT = 300, 220
MOST = 120  # atoms of a compound that is drawn
TIMEOUT_S = 30


def drawn(smiles: Sequence[str]) -> list[bytes | None]:
    """A PNG of each compound; None of one that can't be drawn, and of all where RDKit is not there
    or takes too long."""
    try:
        made = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", __name__],
            input=json.dumps(list(smiles)).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return [None if one is None else base64.b64decode(one) for one in json.loads(made.stdout)]
    except (subprocess.SubprocessError, ValueError):
        return [None] * len(smiles)


def _png(smiles: str) -> str | None:
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not 0 < molecule.GetNumAtoms() <= MOST:
        return None
    canvas = rdMolDraw2D.MolDraw2DCairo(WIDTH, HEIGHT)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
    canvas.FinishDrawing()
    return base64.b64encode(canvas.GetDrawingText()).decode()


def main() -> None:
    """Draw what standard input names."""
    sys.stdout.write(json.dumps([_png(one) for one in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
