"""What RDKit says of texts that nobody has read yet, asked in processes of their own.

What a network or n-grams have written may hang RDKit, or end the process that it runs in; here such
a text is no molecule, and costs itself alone. See medray.formats.molecules.guard.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.formats.molecules.guard import Guard
from medray.formats.molecules.parsed import Parsed
from medray.modalities.notation import chemistry
from medray.modalities.notation.chemistry import Print
from medray.modalities.notation.plan import Notation
from medray.storage.shards.rows import EndToEnd

if TYPE_CHECKING:
    from rdkit.Chem import Mol

    from medray.formats.molecules.marks import Marks

ROW_S = 5.0  # of a processor that RDKit may take for a text
TOGETHER = 256  # texts that a process is given at a time
READER = "medray.modalities.notation.looks:Reader"


@dataclass(frozen=True)
class Looks:
    """What texts are, in their order.

    Args:
        canonical: SMILES; None of what is no molecule.
        values: float64 (texts, properties); NaN of what is no molecule.
        prints: fingerprints; none, if they were not asked for.
    """

    canonical: list[str | None]
    values: np.ndarray
    prints: list[Print | None]


def look(
    texts: Sequence[str | None],
    properties: Sequence[str] = (),
    *,
    prints: bool = False,
    notation: Notation = "smiles",
) -> Looks:
    """What RDKit says of texts.

    Args:
        texts: None is no molecule.
        properties: which of chemistry.MEASURES.
        prints: whether fingerprints are made.
        notation: of the texts.
    """
    there = [at for at, text in enumerate(texts) if text]
    given = [
        [str(texts[at]) for at in there[n : n + TOGETHER]] for n in range(0, len(there), TOGETHER)
    ]
    found = Looks(
        [None] * len(texts),
        np.full((len(texts), len(properties)), np.nan),
        [None] * len(texts) if prints else [],
    )
    asked = {"properties": list(properties), "prints": prints, "notation": notation}
    guard = Guard(READER, asked, ROW_S)
    for number, parsed in enumerate(guard.read(given)):
        rows = [there[number * TOGETHER + row] for row in parsed.taken]
        if not rows:
            continue
        for at, text in zip(rows, parsed.columns["canonical"], strict=True):
            found.canonical[at] = text
        if properties:
            found.values[rows] = parsed.arrays["values"].values
        if prints:
            bits, counts = parsed.arrays["bits"]
            for at, some in zip(rows, np.split(bits, np.cumsum(counts)[:-1]), strict=True):
                found.prints[at] = chemistry.print_of(some)
    return found


class Reader:
    """Reads texts in a child.

    Args:
        asked: `properties`, `prints` and `notation`, as `look` has them.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        self._measures = [chemistry.MEASURES[name] for name in asked["properties"]]
        self._prints = bool(asked["prints"])
        self._molecule = _reader_of(asked["notation"])
        # What is made ready when it is first asked for is not the first row's fault.
        self._told(chemistry.molecule("C"))

    def read(self, texts: Sequence[str], marks: "Marks") -> Parsed:
        """See medray.formats.molecules.nursery.Reads."""
        parsed = Parsed(columns={"canonical": []})
        values, bits = [], []
        for number, text in enumerate(texts):
            if not marks.begin(number):
                break
            try:
                made = self._told(self._molecule(text))
            except Exception as error:  # noqa: BLE001 - whatever RDKit raises, it is no molecule
                made = None
                parsed.refused[number] = "unreadable", f"RDKit fails with {type(error).__name__}"
            if made is None:
                parsed.refused.setdefault(number, ("unreadable", "RDKit can't read it"))
                continue
            parsed.taken.append(number)
            parsed.columns["canonical"].append(made[0])
            values.append(made[1])
            bits.append(made[2])
        if parsed.taken:
            lengths = np.array([len(one) for one in bits], np.int64)
            each = np.ones(len(values), np.int64)
            parsed.arrays["values"] = EndToEnd(np.array(values, np.float64), each)
            parsed.arrays["bits"] = EndToEnd(np.concatenate(bits), lengths)
        return parsed

    def _told(self, mol: "Mol | None") -> tuple[str, list[float], np.ndarray] | None:
        if mol is None:
            return None
        values = [float(measure(mol)) for measure in self._measures]
        bits = chemistry.bits(mol) if self._prints else np.zeros(0, np.uint16)
        return chemistry.canonical(mol), values, bits


def _reader_of(notation: Notation) -> "Callable[[str], Mol | None]":
    """What makes a molecule of a text."""
    if notation == "smiles":
        return chemistry.molecule
    import selfies

    def read(text: str) -> "Mol | None":
        try:
            return chemistry.molecule(selfies.decoder(text))
        except selfies.DecoderError:
            return None

    return read
