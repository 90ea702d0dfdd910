"""Tables of SMILES: a row for each compound, a refusal by line for every other."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.smiles import Smiles
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample

TABLE = f"""name,smiles,logS,toxic,note
aspirin,CC(=O)Oc1ccccc1C(=O)O, -1.72 ,,00123
bad,C1CC,1,1,
empty,,2,0,
pyridine,n1ccccc1,.5,1,"a, b"
text,CCO,many,1,
short,CCO
long,{31 * "C"},1,0,
large,{14 * "C"},1,0,

butane,CCCC,NA,0,x
"""
TOLD = {
    "id": "name",
    "targets": ["logS", "toxic"],
    "max_characters": 30,
    "max_atoms": 13,
    "scaffold": True,
}


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form, source = Smiles(Smiles.Options.model_validate(options)), Source(root)
    found = form.plan(source)
    items = [one for group in found.groups for item in group for one in form.read(source, item)]
    samples = [one for rows in items if isinstance(rows, Rows) for one in rows.each()]
    return samples, [*found.refused, *(one for one in items if isinstance(one, Refusal))]


@pytest.mark.parametrize("packed", [False, True])
def test_every_line_is_a_compound_or_refused_by_its_number(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(TABLE.encode()) if packed else TABLE.encode())
    samples, refused = read(tmp_path, **TOLD)
    assert [sample.id for sample in samples] == ["aspirin", "pyridine", "butane"]
    aspirin, pyridine, butane = (sample.row for sample in samples)
    assert aspirin == {
        "smiles": "CC(=O)Oc1ccccc1C(=O)O",
        "logS": -1.72,
        "toxic": None,
        "note": "00123",
        "canonical": "CC(=O)Oc1ccccc1C(=O)O",
        "scaffold": "c1ccccc1",
    }
    assert (pyridine["canonical"], pyridine["note"]) == ("c1ccncc1", "a, b")
    assert (butane["logS"], butane["scaffold"]) == (None, "CCCC")
    assert {one.sample: one.code for one in refused} == {
        "a-0000003": "unreadable",
        "a-0000004": "no-molecule",
        "a-0000006": "bad-value",
        "a-0000007": "uneven-row",
        "a-0000008": "too-long",
        "a-0000009": "too-many-atoms",
    }
    assert refused[0].reason == f"line 3 of {path.name}: RDKit can't read the SMILES"
    shapes = {name: values.shape for name, values in samples[1].arrays.items()}
    assert shapes == {"atoms": (6, 7), "bonds": (6, 2), "bond_features": (6, 2)}


@pytest.mark.parametrize("head", ["", "smiles name\n", "SMILES\tname\n"])
def test_lines_of_smi_are_a_smiles_and_a_name(tmp_path: Path, head: str) -> None:
    (tmp_path / "a.smi").write_text(f"{head}CCO\tethyl alcohol\nc1ccccc1 benzene\nC\n")
    samples, refused = read(tmp_path)
    assert [sample.row["name"] for sample in samples] == ["ethyl alcohol", "benzene", None]
    assert [len(sample.arrays["bonds"]) for sample in samples] == [2, 6, 0]
    assert not refused
    named, _ = read(tmp_path, id="name")
    assert [sample.id for sample in named][:2] == ["ethyl alcohol", "benzene"]


def test_a_table_without_the_column_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (tmp_path / "a.csv").write_text("mol,Class\nCCO,1\n")
    _, refused = read(tmp_path)
    assert [(one.code, one.hint) for one in refused] == [("no-such-column", "columns: mol, Class")]
    samples, _ = read(tmp_path, smiles="mol", columns={"Class": "integer"})
    assert samples[0].row["Class"] == 1
    with pytest.raises(SpecError, match="no file of compounds"):
        read(nothing)


@pytest.mark.real_data
def test_moleculenet_is_read_whole(data_dir: Path) -> None:
    samples, refused = read(data_dir / "chem" / "malformed" / "BBBP_raw_moleculenet.csv")
    assert len(samples) == 2039
    assert [one.code for one in refused] == 11 * ["unreadable"]


def test_ids_that_come_twice_and_too_many_bad_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,smiles\na,CCO\na,CC\n,C\nb,nothing\n")
    samples, refused = read(tmp_path, id="id")
    assert [sample.id for sample in samples] == ["a"]
    assert [one.code for one in refused] == ["duplicate-id", "no-id", "unreadable"]
    with pytest.raises(DataError) as caught:
        read(tmp_path, id="id", max_refused=2)
    assert caught.value.code == "too-many-bad-rows"


def test_ids_are_compared_over_files_and_slices(tmp_path: Path) -> None:
    table = pa.table({"id": list("abcad"), "smiles": ["CCO", "CC", "C", "CCC", "CCCC"]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    assert len(Smiles(Smiles.Options(id="id")).plan(Source(tmp_path)).groups) == 3
    (tmp_path / "b.csv").write_text("id,smiles\nb,CN\ne,CCN\n")
    samples, refused = read(tmp_path, id="id")
    assert [sample.id for sample in samples] == ["a", "b", "c", "d", "e"]
    assert [one.code for one in refused] == ["duplicate-id"] * 2


def test_a_file_is_read_anew_when_another_gives_its_ids(tmp_path: Path) -> None:
    def planned() -> list[str]:
        found = Smiles(Smiles.Options(id="id")).plan(Source(tmp_path))
        return [item.fingerprint for group in found.groups for item in group]

    (tmp_path / "b.csv").write_text("id,smiles\nb,CN\n")
    (before,) = planned()
    (tmp_path / "a.csv").write_text("id,smiles\nc,CN\n")
    assert planned()[1] == before
    (tmp_path / "a.csv").write_text("id,smiles\nb,CN\n")
    assert planned()[1] != before
