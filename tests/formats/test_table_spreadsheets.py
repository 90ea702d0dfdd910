"""Tables as spreadsheets and data frames save them: read right, or refused with the way out."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.formats.base import Source
from medray.formats.table import Table
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample


def read(root: Path, text: str | None = None, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    if text is not None:
        (root / "t.csv").write_bytes(text.encode())
    form, source = Table(Table.Options.model_validate(options)), Source(root)
    plan = form.plan(source)
    found = [one for group in plan.groups for item in group for one in form.read(source, item)]
    refused = [*plan.refused, *(one for one in found if isinstance(one, Refusal))]
    return [one for one in found if isinstance(one, Sample)], refused


def features(samples: list[Sample]) -> list[list[float]]:
    return [np.asarray(one.arrays["features"]).tolist() for one in samples]


GERMAN = "\ufeffid;crp;age\r\np1;1,5;40\r\np2;2.000;41\r\np3;;42,25\r\n"


@pytest.mark.parametrize("before", ["", "sep=;\r\n"])
def test_a_spreadsheet_with_decimal_commas(before: str, tmp_path: Path) -> None:
    text = "\ufeff" + before + GERMAN.removeprefix("\ufeff")
    samples, refused = read(
        tmp_path, text, id="id", decimal=",", columns={"age": "number"}
    )  # fmt: skip
    assert [one.id for one in samples] == ["p1", "p3"]
    assert features(samples)[0] == [1.5]
    assert np.isnan(features(samples)[1])
    assert [one.row["age"] for one in samples] == [40, 42.25]
    # 2.000 is two thousand, or a mistake.
    place = 3 + bool(before)
    assert [one.reason for one in refused] == [f"line {place}: column 'crp' holds no finite number"]


def test_without_the_option_a_comma_is_no_point(tmp_path: Path) -> None:
    samples, refused = read(tmp_path, GERMAN, id="id")
    assert [one.id for one in samples] == ["p2"]
    assert [one.code for one in refused] == ["not-a-number"] * 2
    assert all("decimal" in one.hint for one in refused)


def test_texts_stand_for_numbers_or_for_none(tmp_path: Path) -> None:
    text = "id,crp,y\np1,<5,>90\np2, #N/A ,1\np3,7,2\np4,>5,2\n"
    values = {"<5": 2.5, "#N/A": None, ">90": 90}
    samples, refused = read(tmp_path, text, id="id", target="y", values=values)
    assert [one.row["target"] for one in samples] == [90, 1, 2]
    assert features(samples)[0] == [2.5]
    assert np.isnan(features(samples)[1])
    (one,) = refused
    assert (one.code, one.sample) == ("not-a-number", "sample 4")
    assert "values" in one.hint


def test_values_and_commas_of_a_transposed_table(tmp_path: Path) -> None:
    samples, refused = read(
        tmp_path, "gene;p1;p2\na;1,5;<2\nb;2;3\n", transposed=True, decimal=",", values={"<2": 1}
    )
    assert features(samples) == [[1.5, 2], [1, 3]]
    assert not refused


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_numbers_of_rows_are_no_feature(name: str, tmp_path: Path) -> None:
    text = f"{name},age,y\n0,40,0\n1,50,1\n"
    samples, refused = read(tmp_path, text, target="y")
    assert not samples
    assert [one.code for one in refused] == ["unnamed-column"]
    assert repr(name) in refused[0].reason
    assert "drop" in refused[0].hint
    samples, refused = read(tmp_path, text, target="y", drop=[name])
    assert (features(samples), refused) == ([[40], [50]], [])
    samples, refused = read(tmp_path, text, target="y", id=name)
    assert ([one.id for one in samples], refused) == (["0", "1"], [])


def test_an_index_of_a_data_frame_in_parquet_is_no_feature(tmp_path: Path) -> None:
    columns = {"age": [40.0, 50.0], "__index_level_0__": [7, 3]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert [one.code for one in read(tmp_path)[1]] == ["unnamed-column"]


def test_why_a_row_makes_no_sample(tmp_path: Path) -> None:
    text = "id,a\np1,1\n,2\np1,3\n,\n , \np2,4\n"
    samples, refused = read(tmp_path, text, id="id")
    assert [one.id for one in samples] == ["p1", "p2"]
    assert [(one.sample, one.code, one.kind, one.reason) for one in refused] == [
        ("features, row 2", "no-id", "quarantined", "the row has no id"),
        ("features, row 3", "duplicate-id", "quarantined", "an earlier row has its id"),
        ("features, row 4", "blank-row", "passed-over", "the row is blank"),
        ("features, row 5", "blank-row", "passed-over", "the row is blank"),
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.txt"])
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_name_the_way_out(name: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes("id,größe\np1,1\n".encode(encoding))
    (one,) = read(tmp_path, id="id")[1]
    assert one.code == "not-text"
    assert "UTF-8" in one.hint


@pytest.mark.parametrize("name", ["_shard", "_row", "sample_id", "split"])
def test_columns_that_have_a_meaning_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a meaning of their own"):
        Table.Options.model_validate({"columns": {name: "text"}})


def test_decimal_takes_point_or_comma() -> None:
    with pytest.raises(ValueError, match="decimal"):
        Table.Options.model_validate({"decimal": ";"})
