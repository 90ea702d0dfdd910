"""Records of SDF: ids stay text, broken ones are refused one by one, the rest stands."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from rdkit import Chem
from rdkit.Chem import AllChem

from medray.formats import sdf
from medray.formats.base import Source
from medray.formats.sdf import Sdf
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample


def record(smiles: str, title: str = "", version: int = 2, **items: str) -> str:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=1)
    molecule.SetProp("_Name", title)
    block = Chem.MolToMolBlock(molecule, forceV3000=version == 3)
    return block + "".join(f">  <{name}>  (1)\n{text}\n\n" for name, text in items.items())


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form, source = Sdf(Sdf.Options.model_validate(options)), Source(root)
    found = form.plan(source)
    items = [one for group in found.groups for item in group for one in form.read(source, item)]
    samples = [one for rows in items if isinstance(rows, Rows) for one in rows.each()]
    return samples, [*found.refused, *(one for one in items if isinstance(one, Refusal))]


RECORDS = [
    record("CCO", "ethanol", code="00123", logP="-0.31"),
    record("C[C@H](N)C(=O)O", "alanine", version=3, code="12E5", note="two\nlines"),
    "no molfile at all\n",
    record("c1ccccc1", "benzene", logP="many"),
    record("CC", "ethane").replace("  8  7", "  9  7"),
    "",
    record("F/C=C/F", "difluoroethene", logP=""),
]


@pytest.mark.parametrize("form", ["plain", "gzip", "crlf", "cut"])
def test_records_are_rows_or_refused(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "$$$$\n".join([*RECORDS, ""])
    if form == "crlf":
        text = text.replace("\n", "\r\n")
    if form == "cut":
        monkeypatch.setattr(sdf, "SLICE_BYTES", 700)
    data = text.encode()
    path = tmp_path / ("a.sdf.gz" if form == "gzip" else "a.sdf")
    path.write_bytes(gzip.compress(data) if form == "gzip" else data)
    samples, refused = read(tmp_path, targets=["logP"])
    assert [sample.id for sample in samples] == ["a-0000001", "a-0000002", "a-0000007"]
    ethanol, alanine, alkene = (sample.row for sample in samples)
    assert (ethanol["title"], ethanol["code"], ethanol["logP"]) == ("ethanol", "00123", -0.31)
    assert (alanine["code"], alanine["logP"], alanine["note"]) == ("12E5", None, "two\nlines")
    assert [row["smiles"] for row in (ethanol, alanine, alkene)] == [
        "CCO",
        "C[C@H](N)C(=O)O",
        "F/C=C/F",
    ]
    assert [(one.sample[-1], one.code) for one in refused] == [
        ("3", "bad-record"),
        ("4", "bad-value"),
        ("5", "unreadable"),
        ("6", "bad-record"),
    ]
    assert refused[0].reason == f"record 3 of {path.name}: the molfile has no end"
    stereo = [sample.arrays["atoms"][:, 6].tolist() for sample in samples]
    assert stereo[1] == [0, 2, 0, 0, 0, 0]
    assert samples[2].arrays["bond_features"][1, 0] == 6


def test_ids_titles_and_coordinates_by_option(tmp_path: Path) -> None:
    (tmp_path / "a.sdf").write_text("$$$$\n".join([RECORDS[0], RECORDS[1]]))
    samples, _ = read(tmp_path, id="code", columns={}, coordinates=True)
    assert [sample.id for sample in samples] == ["00123", "12E5"]
    assert set(samples[0].row) == {"smiles", "canonical", "scaffold"}
    molecule = Chem.MolFromMolBlock(RECORDS[0])
    places = samples[0].arrays["coordinates"]
    assert places.dtype == np.float32
    assert np.allclose(places, molecule.GetConformer().GetPositions(), atol=1e-4)
    with pytest.raises(ValidationError, match="no coordinates"):
        Sdf.Options.model_validate({"coordinates": True, "standardise": ["charge"]})


@pytest.mark.real_data
def test_real_records(data_dir: Path) -> None:
    root = data_dir / "chem" / "sdf"
    samples, refused = read(root / "logBB.sdf", targets=["logBB"])
    assert (len(samples), refused) == (298, [])
    assert samples[0].row["name"] == "methylchloroform"
    assert samples[0].row["logBB"] == 0.4
    samples, refused = read(root / "gdb1k.sdf.gz", coordinates=True)
    assert (len(samples), refused) == (1000, [])
    assert all(len(one.arrays["coordinates"]) == len(one.arrays["atoms"]) for one in samples)
