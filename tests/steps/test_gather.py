"""Parts of subjects become subjects: all of each in one shard, in order of time, and accounted."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import MedrayError
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.spec.load import Source
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects
from tests.contract.record_examples import MAPPING, records
from tests.events import events_of

PLAIN = {"method": "none"}


def steps(root: Path, **changed: Any) -> list[dict[str, Any]]:
    form = {"name": "ehr", "mapping": MAPPING, "deidentify": PLAIN}
    return [
        {"kind": "ingest", "format": form, "source": str(root), "output": "parts",
         "split": {"train": 0.5, "val": 0.5}, "policy": {"error_budget": 0.5}},
        {"kind": "gather", "data": "parts", "output": "people", **changed},
    ]  # fmt: skip


def gathered(objects: Objects, root: Path, **changed: Any) -> Dataset:
    run(steps(root, **changed), storage=objects, cluster="inline")
    return open_dataset(objects, "people")


@pytest.mark.parametrize("shards", [1, 3, 50])
def test_subjects_are_whole_and_in_order_of_time(
    objects: Objects, tmp_path: Path, shards: int
) -> None:
    """50 shards for 4 subjects: fewer subjects than shards is fine."""
    records(tmp_path)
    people = gathered(objects, tmp_path, shards=shards)
    assert sorted(people.samples["sample_id"].to_pylist()) == ["p0", "p1", "p2", "p3"]
    for sample in people:
        found = events_of(sample, people.attributes["tables"])
        stays = [n for n in range(8) if f"p{n // 2}" == sample.id]
        assert sum(one["table"] == "stays" for one in found) == 4
        assert sum(one["table"] == "labs" for one in found) == sum(
            n % 8 in stays for n in range(40)
        )
        assert [one["time"] for one in found] == sorted(one["time"] for one in found)
        assert sample.row["events"] == len(found)
    splits = {row["subject"]: row["split"] for row in people.samples.to_pylist()}
    parts = open_dataset(objects, "parts").samples.to_pylist()
    assert {(row["subject"], row["split"]) for row in parts} == set(splits.items())


def test_equal_people_whatever_the_shards(objects: Objects, tmp_path: Path) -> None:
    records(tmp_path)
    made = []
    for shards in (1, 4):
        people = gathered(objects, tmp_path, shards=shards)
        made.append(
            {s.id: {name: np.asarray(v).tobytes() for name, v in s.arrays.items()} for s in people}
        )
    assert made[0] == made[1]


def test_the_page_accounts_for_every_row(objects: Objects, tmp_path: Path) -> None:
    records(tmp_path)
    text = gzip.decompress((tmp_path / "labs.csv.gz").read_bytes()).decode().splitlines()
    text[3] += ",more"
    text[4] = text[4].replace(",na,", ",,")
    text[5] = text[5].replace("mmol/L", "mEq/L")
    before, _, unit = text[6].rsplit(",", 2)
    text[6] = f"{before},high,{unit}"
    (tmp_path / "labs.csv.gz").write_bytes(gzip.compress("\n".join(text).encode()))
    people = gathered(objects, tmp_path)
    account = people.attributes["account"]
    assert account["tables"] == {
        "labs": {
            "rows": 40,
            "events": 38,
            "unread": 1,
            "dropped": {"no code": 1},
            "bad": {"ragged-row": 1},
        },
        "stays": {"rows": 8, "events": 16, "unread": 0, "dropped": {}, "bad": {}},
    }
    assert account["units"] == [["LAB//na", {"mmol/L": 37, "mEq/L": 1}]]
    assert account["events"] == 54
    training = {row["subject"] for row in people.samples.to_pylist() if row["split"] == "train"}
    codes = {code: (subjects, events) for code, subjects, events in people.attributes["codes"]}
    assert codes["OUT"] == (len(training), 8)
    page = render(collect(objects, "job", [
        {"kind": "gather", "output": people.reference, "seconds": 1.0}
    ]))  # fmt: skip
    for words in (
        "Records: people",
        "dropped by rule",
        "mEq/L 1",
        "ragged-row 1",
        "LAB//na",
        "without the number",
    ):
        assert words in page


def test_a_table_that_comes_later_joins_its_subjects(objects: Objects, tmp_path: Path) -> None:
    records(tmp_path)
    before = {one.id: one.row["events"] for one in gathered(objects, tmp_path)}
    late = "stay,name,minutes,revised,result,unit\n0,k,5,9,4.1,mmol/L\n"
    (tmp_path / "labs_2.csv").write_text(late)
    people = gathered(objects, tmp_path)
    assert {one.id: one.row["events"] for one in people} == {**before, "p0": before["p0"] + 1}
    (new,) = [e for s in people for e in events_of(s, ["stays", "labs"]) if e["code"] == "LAB//k"]
    assert (new["time"], new["available_at"]) == ("2020-01-01T08:05:00", "2020-01-01T08:09:00")


def test_what_is_no_parts_of_subjects_is_refused(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    table = {"kind": "ingest", "format": {"name": "table"}, "source": str(tmp_path), "output": "t"}
    wrong = {"kind": "gather", "data": "t", "output": "people"}
    source = Source("job", [table, wrong])
    _, problems = check_documents(source, objects, cluster="inline")
    assert [one.code for one in problems] == ["no-events"]
    run([table], storage=objects, cluster="inline")
    with pytest.raises(MedrayError, match="no-events"):
        run([wrong], storage=objects, cluster="inline")


def test_told_is_json(objects: Objects, tmp_path: Path) -> None:
    records(tmp_path)
    gathered(objects, tmp_path)
    told = [json.loads(one) for one in open_dataset(objects, "parts").samples["told"].to_pylist()]
    assert sum(one.get("labs", [0])[0] for one in told) == 40
