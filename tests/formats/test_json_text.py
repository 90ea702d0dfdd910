"""JSON of others: what no UTF-8 can hold is refused by itself, wherever JSON is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.documents.notes import Notes
from medray.formats.pairs import Pairs
from medray.formats.tabular.json_text import value_of
from medray.modalities.media import documents_of
from medray.storage.shards.records import Refusal
from tests.formats import test_volume_boxes

HALF = r'"a\ud83d"'
ingest = test_volume_boxes.ingest


@pytest.mark.parametrize(
    "text", [HALF, f"{{{HALF}: 1}}", f"[[{HALF}]]", HALF.replace("d83d", "DE00")]
)
def test_half_of_a_character_is_no_text(text: str) -> None:
    for given in (text, text.encode(), text.encode("utf-8-sig")):
        with pytest.raises(DataError, match="not-utf8"):
            value_of(given)


def test_whole_characters_are_texts_however_they_are_written() -> None:
    assert value_of(r'"\ud83d\ude00 \\ud83d"') == "\U0001f600 \\ud83d"
    assert value_of(json.dumps("\U0001f600").encode()) == "\U0001f600"
    deep = "[" * 900 + r'"\ud83d\ude00"' + "]" * 900
    assert json.dumps(value_of(deep)) == deep.replace(" ", "")
    with pytest.raises(ValueError, match="Expecting"):
        value_of("{")


@pytest.mark.parametrize("method", ["none", "keyed"])
def test_of_notes_the_line_is_refused(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    bad = f'{{"id": "1", "text": {HALF}}}\n{{"id": {HALF}, "text": "b"}}\n'
    (tmp_path / "a.ndjson").write_text(bad + '{"id": "3", "text": "fine"}\n')
    form = Notes(Notes.Options.model_validate({"id": "id", "phi": {"method": method}}))
    ((item,),) = form.plan(Source(tmp_path)).groups
    *refused, rows = form.read(Source(tmp_path), item)
    assert [one.code for one in refused if isinstance(one, Refusal)] == ["not-utf8"] * 2
    assert not isinstance(rows, Refusal)
    assert [row["text"] for row in rows.table.to_pylist()] == ["fine"]  # type: ignore[union-attr]


def test_of_pairs_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ligands_can.txt").write_text(f'{{"a": "C", {HALF}: "CC"}}')
    (tmp_path / "proteins.txt").write_text('{"p": "MK"}')
    (tmp_path / "values.txt").write_text("1\n2\n")
    (refused,) = Pairs(Pairs.Options()).plan(Source(tmp_path)).refused
    assert (refused.source, refused.code) == ("ligands_can.txt", "not-utf8")


def test_of_boxes_the_table_is_none(ingest: Any) -> None:
    with pytest.raises(SpecError, match="bad-table"):
        ingest(f'{{"images": [{{"id": 1, "file_name": {HALF}}}], "annotations": []}}')


def test_a_request_is_refused() -> None:
    with pytest.raises(DataError, match="not-utf8"):
        documents_of(f'{{"text": {HALF}}}'.encode(), ("text",), "…")
