"""Drawings of compounds for pages, made by a process of its own: RDKit now and then hangs.

python -m medray.formats.molecules.draw    drawings that are asked for in JSON to SVG in JSON
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

WIDTH, HEIGHT = 300, 220
MOST = 120  # atoms of a compound that is drawn
TIMEOUT_S = 30
RAISES, LOWERS = (214, 96, 77), (67, 147, 195)  # colours of atoms


@dataclass(frozen=True)
class Drawing:
    """A compound that is to be drawn.

    Args:
        smiles: of it.
        written: SMILES whose atoms stand in the order of weights; "": there are none.
        weights: -1 … 1, how an atom is coloured; of a compound of as many atoms, else it is plain.
    """

    smiles: str
    written: str = ""
    weights: Sequence[float] = ()


def drawn(asked: Sequence[Drawing]) -> list[bytes | None]:
    """SVG of each compound; None of one that can't be drawn, and of all where RDKit is not there
    or takes too long."""
    try:
        made = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", __name__],
            input=json.dumps([asdict(one) for one in asked]).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return [None if one is None else one.encode() for one in json.loads(made.stdout)]
    except (subprocess.SubprocessError, ValueError):
        return [None] * len(asked)


def _svg(asked: Drawing) -> str | None:
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    molecule, colours = Chem.MolFromSmiles(asked.smiles), {}
    if asked.written:
        weighed = Chem.MolFromSmiles(asked.written)
        if weighed and weighed.GetNumAtoms() == len(asked.weights):
            molecule = weighed
            colours = {at: _colour(weight) for at, weight in enumerate(asked.weights)}
    if molecule is None or not 0 < molecule.GetNumAtoms() <= MOST:
        return None
    canvas = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    rdMolDraw2D.PrepareAndDrawMolecule(
        canvas,
        molecule,
        highlightAtoms=list(colours),
        highlightAtomColors=colours,
        highlightBonds=[],
    )
    canvas.FinishDrawing()
    return str(canvas.GetDrawingText())


def _colour(weight: float) -> tuple[float, ...]:
    """White where an atom says nothing."""
    full, share = RAISES if weight > 0 else LOWERS, min(1.0, abs(weight))
    return tuple(1 - share * (1 - part / 255) for part in full)


def main() -> None:
    """Draw what standard input asks for."""
    asked = [Drawing(**one) for one in json.load(sys.stdin)]
    sys.stdout.write(json.dumps([_svg(one) for one in asked]))


if __name__ == "__main__":
    main()
