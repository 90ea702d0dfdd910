"""ARFF: what a header says of columns, words as columns of 0 and 1, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.formats.test_table import made, read

HEADER = """% a study
@RELATION 'a study'

@attribute Age NUMERIC
@attribute 'Cell type' {adeno,'small cell',"large"}
@attribute sex {F,M}
@attribute grade {1,2,3}
@attribute days real
@attribute status {alive,dead}
@DATA
"""
ROWS = """
% who came first
61.5,adeno,F,1,10,alive
?, 'small cell' ,M,3,20,dead
47,"large",?,2,30,dead
"""
KEPT = {"days": "number", "status": "text"}


def written(folder: Path, text: str = HEADER + ROWS, name: str = "a.arff") -> Path:
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    return folder


@pytest.mark.parametrize("name", ["a.arff", "a.arff.gz"])
def test_words_are_columns_of_0_and_1(tmp_path: Path, name: str) -> None:
    form = made(columns=KEPT, numbers=["grade"])
    samples, refused, plan = read(form, written(tmp_path, name=name))
    assert not refused
    assert plan.attributes == {
        "features": {
            "features": [
                "Age", "Cell type=adeno", "Cell type=small cell", "Cell type=large", "sex=M",
                "grade",
            ]
        }
    }  # fmt: skip
    features = np.stack([np.asarray(one.arrays["features"]) for one in samples])
    nan = np.nan
    wanted = [[61.5, 1, 0, 0, 0, 1], [nan, 0, 1, 0, 1, 3], [47, 0, 0, 1, nan, 2]]
    np.testing.assert_array_equal(features, np.array(wanted, np.float32))
    assert [one.row["days"] for one in samples] == [10, 20, 30]
    assert [one.row["status"] for one in samples] == ["alive", "dead", "dead"]


def test_numbers_that_are_called_nominal_are_words_unless_said(tmp_path: Path) -> None:
    samples, _, plan = read(made(columns=KEPT, drop=["Cell type", "sex"]), written(tmp_path))
    assert plan.attributes["features"]["features"] == ["Age", "grade=1", "grade=2", "grade=3"]
    assert np.asarray(samples[1].arrays["features"])[1:].tolist() == [0, 0, 1]


def test_a_word_that_no_header_names_is_refused_or_a_column(tmp_path: Path) -> None:
    written(tmp_path, HEADER + ROWS + "50,canary,F,1,5,dead\n")
    options = {"columns": KEPT, "drop": ["Age", "sex", "grade"]}
    samples, refused, _ = read(made(**options), tmp_path)
    assert len(samples) == 3
    assert [one.code for one in refused] == ["not-a-number"]
    assert refused[0].reason.startswith("line 16: column 'Cell type' ")
    assert "canary" not in str(refused)
    samples, refused, plan = read(made(unseen="column", **options), tmp_path)
    assert not refused
    assert plan.attributes["features"]["features"][-1] == "Cell type=other"
    assert np.asarray(samples[3].arrays["features"]).tolist() == [0, 0, 0, 1]


def test_words_of_other_tables_are_said_by_the_job(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("kind,age\nb,1\na,2\n,3\nz,4\n")
    samples, refused, plan = read(made(categories={"kind": ["a", "b", "c"]}), tmp_path)
    assert plan.attributes["features"]["features"] == ["kind=a", "kind=b", "kind=c", "age"]
    assert np.asarray(samples[0].arrays["features"]).tolist() == [0, 1, 0, 1]
    assert np.isnan(np.asarray(samples[2].arrays["features"])[:3]).all()
    assert [one.reason.split(" holds")[0] for one in refused] == ["line 5: column 'kind'"]


def test_words_of_parquet_are_those_of_text(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"age": [1.5, None, 3.0], "kind": ["b", None, "z"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    samples, refused, plan = read(made(categories={"kind": ["a", "b", "c"]}), tmp_path)
    assert plan.attributes["features"]["features"] == ["age", "kind=a", "kind=b", "kind=c"]
    features = np.stack([np.asarray(one.arrays["features"]) for one in samples])
    np.testing.assert_array_equal(features[0], [1.5, 0, 1, 0])
    assert np.isnan(features[1]).all()
    assert [one.code for one in refused] == ["not-a-number"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1,2\n3,4\n", "bad-arff"),
        ("@attribute a numeric\n", "bad-arff"),
        ("@data\n1\n", "bad-arff"),
        ("@attribute a numeric\n@attribute a real\n@data\n1,2\n", "duplicate-column"),
        ("@attribute a numeric\n@data\n", "empty-table"),
        ("@attribute a string\n@data\nx\n", "not-a-number"),
        ("@attribute a date 'yyyy'\n@data\n1990\n", "not-a-number"),
        ("@attribute a {'x,y\n@data\nx\n", "not-a-number"),
        ("@attribute a {'x,y}\n@data\nx\n", "bad-arff"),
        ("@attribute\n@data\nx\n", "bad-arff"),
        ("@attribute a numeric\n@data\0\n1\n", "not-text"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, code: str) -> None:
    samples, refused, _ = read(made(), written(tmp_path, text))
    assert not samples
    assert [one.code for one in refused] == [code]


def test_rows_of_other_forms_are_refused_by_their_line(tmp_path: Path) -> None:
    lines = "1,2\n{0 1}\n3\n'4,5\n6,7,8\n9,10\n"
    samples, refused, _ = read(
        made(), written(tmp_path, "@attribute a real\n@attribute b integer\n@data\n" + lines)
    )
    assert [np.asarray(one.arrays["features"]).tolist() for one in samples] == [[1, 2], [9, 10]]
    assert [one.code for one in refused] == ["bad-arff", "ragged-row", "bad-arff", "ragged-row"]
    assert ["line 5" in one.reason for one in refused] == [True, False, False, False]


def test_a_long_file_is_read_from_any_row_on(tmp_path: Path) -> None:
    rows = "".join(f"{at}\n% {at}\n" for at in range(1200))
    written(tmp_path, "@attribute a numeric\n@data\n" + rows)
    samples, refused, plan = read(made(), tmp_path)
    assert not refused
    assert len([one for group in plan.groups for one in group]) == 3
    assert [float(np.asarray(one.arrays["features"])[0]) for one in samples] == list(range(1200))


@pytest.mark.parametrize(
    "options",
    [
        {"categories": {"a": ["x", "x"]}},
        {"categories": {"a": ["x"]}, "drop": ["a"]},
        {"numbers": ["a"], "columns": {"a": "text"}},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict) -> None:
    with pytest.raises(ValidationError):
        made(**options)


def test_words_of_a_column_that_is_not_there_are_refused(tmp_path: Path) -> None:
    _, refused, _ = read(made(columns=KEPT, categories={"site": ["a"]}), written(tmp_path))
    assert [one.code for one in refused] == ["no-such-column"]


def test_the_sets_of_the_field_are_read(data_dir: Path) -> None:
    root = data_dir / "survival" / "sksurv"
    for name, count, options in (
        ("veteran", 137, {"columns": {"Survival_in_days": "number", "Status": "text"}}),
        ("flchain", 7874, {"columns": {"futime": "number", "death": "text"}, "drop": ["chapter"]}),
        ("actg320", 1151, {"columns": {"time": "number", "censor": "integer"}}),
    ):
        samples, refused, _ = read(made(**options), root / f"{name}.arff")
        assert (len(samples), len(refused)) == (count, 0)
        if name == "flchain":  # creatinine of 1,350 was not measured
            lacking = [np.isnan(np.asarray(one.arrays["features"])).any() for one in samples]
            assert sum(lacking) == 1350
            assert sum(one.row["death"] == "dead" for one in samples) == 2169
