"""Ingest: a split is a property of the subject; a refused series counts all of its files."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from medray.demo import synthesise
from medray.engine.units.worker import Worker, WorkerSpec
from medray.errors import DataError
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.formats.packed import unpack
from medray.formats.vcf.text.header import FIXED
from medray.steps.ingest.operation import Ingest, divide, divide_rows, split_of
from medray.steps.ingest.plan import plan_ingest
from medray.steps.ingest.resolve import OPERATION
from medray.steps.ingest.spec import LEFT_OUT, Split
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects


def test_a_refused_series_accounts_for_all_of_its_files(objects: Objects, tmp_path: Path) -> None:
    synthesise(tmp_path, subjects=2, seed=0)
    options = {"deidentify": {"key_file": str(tmp_path / "deid.key")}}
    kind = FORMATS.get("dicom")
    found = kind(kind.Options.model_validate(options)).plan(Source(tmp_path / "dicom"))
    planned = plan_ingest(found, name="dicom", identity={}, samples=1)
    parameters = {"format": {"name": "dicom", **options}, "source": str(tmp_path / "dicom")}
    worker = Worker(WorkerSpec(OPERATION, parameters, objects, "ct", session="s"))
    for unit in planned.units:
        assert worker.run(unit).state == "committed"
    ledger = Ledger(objects, "ct")
    refused = {
        item.code: item.files
        for unit in planned.units
        if (commit := ledger.commit_of(unit.id)) is not None
        for item in commit.refused
    }
    sizes = {len(one.paths) for unit in planned.units for one in unpack(unit.payload).values()}
    assert refused["gantry-tilt"] > 5
    assert set(refused.values()) <= sizes


NOTHING: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "bed"}, "a.bed", "# no feature\n"),
    ({"name": "gff"}, "a.gff3", "##gff-version 3\n"),
    ({"name": "smiles"}, "a.csv", "smiles,name\n"),
    ({"name": "notes", "phi": {"method": "none"}}, "a.csv", "id,text\n"),
    ({"name": "conll", "phi": {"method": "none"}}, "a.tsv", "\n\n"),
    ({"name": "vcf"}, "a.vcf", "##fileformat=VCFv4.2\n" + "\t".join(FIXED) + "\n"),
]


@pytest.mark.parametrize(("options", "name", "text"), NOTHING)
def test_a_file_that_holds_nothing_is_passed_over(
    objects: Objects, tmp_path: Path, options: dict[str, Any], name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    operation = Ingest(objects, {"format": options, "source": str(tmp_path)})
    found = operation.format.plan(operation.source)
    (unit,) = plan_ingest(found, name=options["name"], identity={}).units
    (told,) = operation.load(unit, unit.inputs[0])
    assert isinstance(told, Refusal)
    assert (told.code, told.kind) == ("no-rows", "passed-over")


@pytest.mark.parametrize(("seed", "share"), [(0, 0.8), (7, 0.5)])
def test_splits_follow_the_subject_and_their_fractions(seed: int, share: float) -> None:
    split = {"train": share, "val": 1 - share, "by": "subject", "seed": seed}
    samples = [Sample(f"{n}-{part}", {"subject": str(n)}) for n in range(500) for part in (0, 1)]
    found = [split_of(split, sample) for sample in samples]
    assert found[::2] == found[1::2]
    assert np.mean([name == "train" for name in found]) == pytest.approx(share, abs=0.06)
    # The same subject stays where it is, whoever else is there.
    assert found[:10] == [split_of(split, sample) for sample in samples[:10]]


def test_an_official_split_is_the_columns() -> None:
    assert split_of({"column": "fold"}, Sample("a", {"fold": "test"})) == "test"


def test_folds_follow_the_subject_and_are_drawn_apart_from_splits() -> None:
    split = {"train": 0.5, "val": 0.5, "by": "subject", "seed": 0, "folds": 5}
    samples = [Sample(f"{n}-{part}", {"subject": str(n)}) for n in range(1000) for part in (0, 1)]
    for sample in samples:
        divide(split, sample)
    folds = np.array([sample.row["fold"] for sample in samples])
    assert (folds[::2] == folds[1::2]).all()
    assert np.bincount(folds) == pytest.approx([400] * 5, abs=80)
    train = np.array([sample.row["split"] == "train" for sample in samples])
    assert np.bincount(folds[train]) == pytest.approx([200] * 5, abs=60)
    # Goldens: a fold must never change, or models would be judged on what they learnt from.
    assert folds[:20:2].tolist() == [0, 2, 1, 1, 0, 0, 0, 0, 0, 3]
    with pytest.raises(DataError, match="fold-is-taken"):
        divide(split, samples[0])


def test_folds_alone_write_no_split() -> None:
    sample = Sample("a", {"block": 3})
    divide({"folds": 3, "by": "block", "seed": 1}, sample)
    other = Sample("b", {"block": 3})
    divide({"folds": 3, "by": "block", "seed": 1}, other)
    assert "split" not in sample.row
    assert sample.row["fold"] == other.row["fold"]


def test_what_two_columns_put_into_different_parts_is_left_out() -> None:
    split = {"train": 0.7, "test": 0.3, "by": ["compound", "sequence"], "seed": 0}
    samples = [
        Sample(f"{a}-{b}", {"compound": f"c{a}", "sequence": f"s{b}"})
        for a in range(40)
        for b in range(30)
    ]
    alone = [
        [split_of({**split, "by": name}, sample) for sample in samples] for name in split["by"]
    ]
    wanted = [a if a == b else LEFT_OUT for a, b in zip(*alone, strict=True)]
    assert [split_of(split, sample) for sample in samples] == wanted
    assert set(wanted) == {"train", "test", LEFT_OUT}
    table = pa.Table.from_pylist([{"sample_id": one.id, **one.row} for one in samples])
    assert divide_rows(split, Rows(table)).table["split"].to_pylist() == wanted


def test_a_job_may_name_several_columns() -> None:
    asked = {"train": 0.8, "test": 0.2, "by": ["compound", "sequence"], "seed": 3}
    assert Split.model_validate(asked).parameters() == asked
    with pytest.raises(ValidationError, match="folds are divided by one column"):
        Split.model_validate({**asked, "folds": 5})
