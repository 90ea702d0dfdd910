"""Notes: tables with quoted line ends, lines of JSON, plain files."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.documents.notes import Notes
from medray.storage.shards.records import Refusal


def read(root: Path, **options: Any) -> tuple[list[dict[str, Any]], list[Refusal]]:
    form = Notes(Notes.Options.model_validate({"phi": {"method": "none"}, **options}))
    source, rows = Source(root), list[dict[str, Any]]()
    plan = form.plan(source)
    refused = list(plan.refused)
    for group in plan.groups:
        for item in group:
            try:
                for one in form.read(source, item):
                    if isinstance(one, Refusal):
                        refused.append(one)
                    else:
                        rows += one.table.to_pylist()
            except DataError as error:
                refused.append(Refusal.of(item.key, error))
    return rows, refused


def test_cells_with_line_ends_and_quotes_are_exact(tmp_path: Path) -> None:
    text = 'Doctor: "Pain?"\r\nPatient: No, none.\n'
    quoted = text.replace('"', '""')
    (tmp_path / "a.csv").write_bytes(
        f'\ufeffid,say,label\r\n7,"{quoted}",X\r\n8,short,\r\n'.encode()
    )
    rows, refused = read(tmp_path, text="say", columns=["label"], splits={"a.csv": "train"})
    assert not refused
    assert rows[0] == {
        "sample_id": "a-0000001", "subject": "a-0000001", "split": "train", "text": text,
        "label": "X",
    }  # fmt: skip
    assert rows[1]["text"] == "short"
    assert rows[1]["label"] == ""


def test_lines_of_json_and_plain_files(tmp_path: Path) -> None:
    lines = [
        {"id": 4, "who": "p", "text": "a"},
        {"id": 5, "text": "b"},
        [1],
        {"id": 6, "who": "p", "text": 3.5},
    ]
    packed = gzip.compress("\n".join(map(json.dumps, lines)).encode(), mtime=0)
    (tmp_path / "n.jsonl.gz").write_bytes(packed)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/x.txt").write_text("plain\n")
    rows, refused = read(tmp_path, id="id", subject="who")
    assert [one["sample_id"] for one in rows] == ["deep_x", "4"]
    assert rows[0]["text"] == "plain\n"
    assert [one.code for one in refused] == ["no-such-column", "bad-json", "no-text"]
    assert rows[1]["subject"] == "p"


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        ("text\na\n\nb\n", []),
        ("text,x\na\n", ["uneven-row"]),
        ('text\n"a\n', ["bad-line"]),
        ('text\n"a"b\n', ["bad-line"]),
        ("text,text\na,b\n", ["bad-header"]),
        ("", ["bad-header"]),
        ("other\na\n", ["no-such-column"]),
        ("text\n \n", ["no-text"]),
    ],
)
def test_rows_that_can_t_be_used_are_told(content: str, codes: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    _, refused = read(tmp_path)
    assert [one.code for one in refused] == codes


def test_ids_that_come_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n1,b\n,c\n")
    rows, refused = read(tmp_path, id="id")
    assert [one["text"] for one in rows] == ["a"]
    assert [one.code for one in refused] == ["duplicate-id", "no-id"]


def test_several_texts_of_a_row_are_documents_of_one_subject(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,say,note,label\n1,b,c,X\n2,d,,Y\n")
    rows, refused = read(tmp_path, text=["say", "note"], columns=["label"])
    assert [(one["text"], one["of"], one["label"]) for one in rows] == [
        ("b", "say", "X"), ("c", "note", "X"),
    ]  # fmt: skip
    assert {one["subject"] for one in rows} == {"a-0000001"}
    assert len({one["sample_id"] for one in rows}) == 2
    assert [one.code for one in refused] == ["no-text"]


def test_columns_with_a_meaning_are_not_kept() -> None:
    with pytest.raises(ValueError, match="meaning"):
        Notes.Options.model_validate({"columns": ["spans"]})


def test_visits_add_up(data_dir: Path) -> None:
    rows, refused = read(
        data_dir / "text/mts_dialog", text="dialogue", columns=["section_header", "section_text"],
    )  # fmt: skip
    assert not refused
    # 1,201, 100 and 200 pairs of 20 sections, as the corpus says.
    assert len(rows) == 1501
    assert len({one["section_header"] for one in rows}) == 20
    assert all("Doctor" in one["text"] or "Patient" in one["text"] or one["text"] for one in rows)


def test_ids_are_those_of_one_note_in_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n7,one\n8,\n7,two\n")
    (tmp_path / "b.ndjson").write_text('{"id": 7, "text": "three"}\n{"id": 8, "text": "four"}\n')
    rows, refused = read(tmp_path, text="text", id="id")
    assert [(row["sample_id"], row["text"]) for row in rows] == [("7", "one"), ("8", "four")]
    assert [(one.sample, one.code) for one in refused] == [
        ("a-0000002", "no-text"), ("a-0000003", "duplicate-id"), ("b-0000001", "duplicate-id"),
    ]  # fmt: skip


def test_a_mark_of_utf8_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fine", encoding="utf-8-sig")
    assert [row["text"] for row in read(tmp_path)[0]] == ["fine"]
