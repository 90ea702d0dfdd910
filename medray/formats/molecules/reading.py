"""Compounds read by RDKit: texts to graphs and what else is asked for, row by row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.errors import DataError
from medray.formats.molecules.graph import DESCRIPTORS, FINGERPRINT, Graphs
from medray.formats.molecules.options import MADE, MoleculeOptions
from medray.formats.molecules.parse import graph_parser
from medray.formats.molecules.parsed import Parsed
from medray.formats.molecules.standard import standard
from medray.storage.shards.rows import EndToEnd

if TYPE_CHECKING:
    from rdkit.Chem import Mol

    from medray.formats.molecules.marks import Marks

STANDARDISED = "standardised"


class Reader:
    """Reads SMILES, and remembers what atoms look like.

    Args:
        asked: fields of `MoleculeOptions`.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        from rdkit import Chem, RDLogger
        from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
        from rdkit.Chem.rdinchi import MolToInchiKey

        # Bound once: an import in a function takes 3 us, and a row 200.
        self._smiles, self._murcko, self._key = (
            Chem.MolToSmiles,
            Chem.MurckoDecompose,
            MolToInchiKey,
        )
        RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # it quotes what it reads
        self._asked = asked
        if asked["selfies"]:
            import selfies  # noqa: F401 - it takes longer than a row may stand still
        self._graphs = Graphs()
        self._columns = [name for name in MADE if asked[name]]
        self._columns += [STANDARDISED] if asked["standardise"] else []
        self._more: dict[str, list[np.ndarray]] = {}
        if asked["descriptors"]:
            self._more[DESCRIPTORS] = []
        if asked["fingerprint"]:
            self._more[FINGERPRINT] = []
            how = asked["fingerprint"]
            self._morgan = GetMorganGenerator(radius=how["radius"], fpSize=how["bits"])
        self._plain = not (self._columns or self._more)
        self._parse = graph_parser() if self._plain else Chem.MolFromSmiles

    def read(self, texts: Sequence[str], marks: "Marks") -> Parsed:
        """Rows one after the other, as far as `marks` lets it."""
        parsed = Parsed(columns={name: [] for name in self._columns})
        for number, text in enumerate(texts):
            if not marks.begin(number):
                break
            try:
                made = self._one(text)
            except DataError as error:
                parsed.refused[number] = error.code, error.message
            except Exception as error:  # noqa: BLE001 - whatever RDKit raises is the row's fault
                parsed.refused[number] = "unreadable", f"RDKit fails with {type(error).__name__}"
            else:
                parsed.taken.append(number)
                for name in self._columns:
                    parsed.columns[name].append(made[name])
        if parsed.taken:
            parsed.arrays = self._graphs.take()
            for name, values in self._more.items():
                lengths = np.array([len(one) for one in values], np.int64)
                parsed.arrays[name] = EndToEnd(np.concatenate(values), lengths)
                values.clear()
        return parsed

    def _one(self, text: str) -> dict[str, str | None]:
        if not text:
            raise DataError("there is no SMILES", code="no-molecule")
        molecule = self._parse(text)
        if molecule is None:
            raise DataError("RDKit can't read the SMILES", code="unreadable")
        return self._made(molecule, text)

    def _made(self, molecule: "Mol", text: str | None) -> dict[str, str | None]:
        """Texts of a compound; its arrays wait for `read` to take them."""
        count = molecule.GetNumAtoms()
        if not count:
            raise DataError("there is no atom", code="no-molecule")
        if count > self._asked["max_atoms"]:
            raise DataError(f"the compound has {count} atoms", code="too-many-atoms")
        made: dict[str, str | None] = {}
        if self._plain:
            self._graphs.add(molecule, text)
            return made
        if self._asked["standardise"]:
            molecule, changed = standard(molecule, self._asked["standardise"])
            made[STANDARDISED] = ", ".join(changed) or None
        if self._columns:
            made |= self._texts(molecule)
        arrays: dict[str, np.ndarray] = {}
        if FINGERPRINT in self._more:
            bits = self._morgan.GetFingerprint(molecule).GetOnBits()
            arrays[FINGERPRINT] = np.array(bits, np.uint16)
        if DESCRIPTORS in self._more:
            arrays[DESCRIPTORS] = _descriptors(molecule)
        self._graphs.add(molecule, text)  # last: from here on nothing can go wrong
        for name, one in arrays.items():
            self._more[name].append(one)
        return made

    def _texts(self, molecule: "Mol") -> dict[str, str | None]:
        made: dict[str, str | None] = {}
        if "canonical" in self._columns:
            made["canonical"] = self._smiles(molecule)
        if "scaffold" in self._columns:
            found = self._smiles(self._murcko(molecule), isomericSmiles=False)
            made["scaffold"] = found or made.get("canonical") or self._smiles(molecule)
        if "inchikey" in self._columns:
            made["inchikey"] = self._key(molecule) or None
        if "selfies" in self._columns:
            made["selfies"] = _selfies(made.get("canonical") or self._smiles(molecule))
        return made


def _selfies(text: str) -> str | None:
    """The SELFIES of a SMILES (Krenn et al. 2020); None of what these can't say."""
    import selfies

    try:
        found: str = selfies.encoder(text)
    except selfies.EncoderError:
        return None
    return found


def attributes_of(options: MoleculeOptions) -> dict[str, Any]:
    """What a dataset says of how its compounds were read, beside the names of descriptors."""
    from rdkit import __version__ as version

    told: dict[str, Any] = {"rdkit": version}
    if options.standardise:
        told["standardise"] = list(options.standardise)
    if options.fingerprint is not None:
        told[FINGERPRINT] = options.fingerprint.model_dump()
    if options.descriptors:
        from rdkit.Chem import Descriptors

        told[DESCRIPTORS] = [name for name, _ in Descriptors.descList]
    return told


def _descriptors(molecule: "Mol") -> np.ndarray:
    """float32 (descriptors,), NaN where RDKit has none."""
    from rdkit.Chem import Descriptors

    values = np.full(len(Descriptors.descList), np.nan)
    for at, (_, function) in enumerate(Descriptors.descList):
        try:
            values[at] = function(molecule)
        except (ValueError, RuntimeError, ZeroDivisionError, OverflowError):
            continue  # of salts and single atoms some have none
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    single[~np.isfinite(single)] = np.nan
    return single
