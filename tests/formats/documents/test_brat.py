"""BRAT: texts, stand-off annotations, archives; what disagrees is refused, what fits comes back."""

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.documents import ann
from medray.formats.documents.brat import Brat
from medray.formats.documents.columns import Relation, Span
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

TEXT = "Aspirin 🩸 raises\r\nthe effect of left\nventricular drugs.\n"
MARKS = (
    "T1\tDRUG 0 7\tAspirin\n"
    "T2\tPART 32 36;49 54\tleft drugs\n"
    "T3\tDRUG 32 48\tleft ventricular\n"
    "R1\tEFFECT Arg1:T1 Arg2:T2\t\n"
    "A1\tNegated T1\n"
    "#1\tAnnotatorNotes T1\tCANARY\n"
)


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form = Brat(Brat.Options.model_validate({"phi": {"method": "none"}, **options}))
    source, samples = Source(root), list[Sample]()
    plan = form.plan(source)
    refused = list(plan.refused)
    for group in plan.groups:
        for item in group:
            try:
                for one in form.read(source, item):
                    if isinstance(one, Refusal):
                        refused.append(one)
                    else:
                        samples += list(one.each())
            except DataError as error:
                refused.append(Refusal.of(item.key, error))
    return samples, refused


def put(root: Path, name: str, text: str, marks: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / f"{name}.txt").write_bytes(text.encode())
    (root / f"{name}.ann").write_bytes(marks.encode())


def test_spans_relations_and_gaps_are_exact(tmp_path: Path) -> None:
    put(tmp_path, "Train/a", TEXT, MARKS)
    (sample,), refused = read(tmp_path, splits={"Train": "train"})
    assert not refused
    assert sample.row["text"] == TEXT
    assert sample.row["split"] == "train"
    assert sample.row["other_annotations"] == 2
    assert sample.row["spans"][0] == {"begin": 0, "end": 7, "type": "DRUG", "parts": []}
    assert sample.row["spans"][1] == {
        "begin": 32, "end": 54, "type": "PART", "parts": [32, 36, 49, 54],
    }  # fmt: skip
    assert sample.row["relations"] == [{"type": "EFFECT", "first": 0, "second": 1}]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("T9\tDRUG 0 8\tAspirin", "span-disagrees"),
        ("T9\tDRUG 50 99\tx", "span-outside"),
        ("T9\tDRUG 7 7\t", "span-outside"),
        ("T9\tDRUG 9 8\tx", "span-outside"),
        ("T9\tDRUG 0 7;3 9\tx", "parts-disorder"),
        ("T9\tDRUG 3 9;0 2\tx", "parts-disorder"),
        ("T9\tDRUG -1 7\tx", "bad-annotation"),
        ("T9\tDRUG 0\tA", "bad-annotation"),
        ("T9\tDRUG 0 \u0667\tAspirin", "bad-annotation"),
        ("T9", "bad-annotation"),
        ("T1\tDRUG 0 7\tAspirin", "duplicate-annotation"),
        ("R9\tEFFECT Arg1:T1 Arg2:T8", "unknown-annotation"),
        ("R9\tEFFECT Arg1:T1", "bad-annotation"),
        ("R1\tEFFECT Arg1:T1 Arg2:T2", "duplicate-annotation"),
        ("Q1\tx", "bad-annotation"),
    ],
)
def test_annotations_that_do_not_fit_refuse_their_document(
    line: str, code: str, tmp_path: Path
) -> None:
    put(tmp_path, "a", TEXT, f"{MARKS}{line}\n")
    put(tmp_path, "b", TEXT, MARKS)
    samples, refused = read(tmp_path)
    assert [one.id for one in samples] == ["b"]
    assert [one.code for one in refused] == [code]
    assert "CANARY" not in refused[0].reason
    assert "Aspirin" not in refused[0].reason


def test_halves_are_told(tmp_path: Path) -> None:
    put(tmp_path, "a", TEXT, MARKS)
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / "c.ann").write_text("")
    samples, refused = read(tmp_path)
    assert len(samples) == 1
    assert {one.source: one.code for one in refused} == {
        "b.txt": "no-annotation-file", "c.ann": "no-text-file",
    }  # fmt: skip
    samples, refused = read(tmp_path, annotated=False)
    assert len(samples) == 2
    assert [one.code for one in refused] == ["no-text-file"]
    assert "spans" not in samples[0].row


def test_an_archive_is_read_as_its_folders_would_be(tmp_path: Path) -> None:
    put(tmp_path / "folder", "Train/a", TEXT, MARKS)
    put(tmp_path / "folder", "Test/b", TEXT, f"{MARKS}T9\tDRUG 0 8\tAspirin\n")
    (tmp_path / "archive").mkdir()
    with zipfile.ZipFile(tmp_path / "archive/x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted((tmp_path / "folder").rglob("*.*")):
            made.write(path, path.relative_to(tmp_path / "folder"))
        made.writestr("annotation.conf", "x")
        made.writestr("lone.txt", "x")
    splits = {"Train": "train", "Test": "test"}
    samples, refused = read(tmp_path / "archive", splits=splits)
    plain, _ = read(tmp_path / "folder", splits=splits)
    assert [one.row["spans"] for one in samples] == [one.row["spans"] for one in plain]
    assert samples[0].row["split"] == "train"
    assert Counter(one.code for one in refused) == {
        "other-kind": 1, "no-annotation-file": 1, "span-disagrees": 1,
    }  # fmt: skip


def test_a_damaged_archive_and_one_that_grows_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.txt", "0" * 20_000_000)
        made.writestr("a.ann", "")
    _, refused = read(tmp_path, max_characters=100_000_000)
    assert [one.code for one in refused] == ["compression-bomb"]
    (tmp_path / "x.zip").write_bytes((tmp_path / "x.zip").read_bytes()[:-30])
    _, refused = read(tmp_path)
    assert [one.code for one in refused] == ["damaged-zip"]


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    put(tmp_path / "in", "a", TEXT, MARKS)
    before, _ = read(tmp_path / "in")
    list(Brat(Brat.Options()).write(before, tmp_path / "out"))
    after, refused = read(tmp_path / "out")
    assert not refused
    for name in ("text", "spans", "relations"):
        assert after[0].row[name] == before[0].row[name]
    text = (tmp_path / "out/a/a.ann").read_text()
    assert text.splitlines()[1] == "T2\tPART 32 36;49 54\tleft drugs"


def test_a_quote_has_line_ends_as_blanks() -> None:
    found = ann.read("T1\tX 0 3\ta b\nT2\tX 4 7\tc  \nR1\tY Arg1:T2 Arg2:T1\n", "a\nb c\r\n")
    assert found.spans == [Span(0, 3, "X"), Span(4, 7, "X")]
    assert found.relations == [Relation("Y", 1, 0)]


def test_the_corpus_of_interactions_adds_up(data_dir: Path) -> None:
    samples, refused = read(data_dir / "text/ddi2013", splits={"Train": "train", "Test": "test"})
    assert {one.code for one in refused if one.kind != "passed-over"} == set()
    kinds = Counter(link["type"] for one in samples for link in one.row["relations"])
    types = Counter(span["type"] for one in samples for span in one.row["spans"])
    gaps = sum(bool(span["parts"]) for one in samples for span in one.row["spans"])
    splits = Counter(one.row["split"] for one in samples)
    # As counted by lines of the archive's files.
    assert len(samples) == 1017
    assert kinds.total() == 5000
    assert types.total() == 18491
    assert gaps == 49
    assert splits == {"train": 714, "test": 303}


@pytest.mark.parametrize(("begin", "end"), [(0, 7), (1, 8)])
def test_a_byte_order_mark_counts_or_not_as_the_quotes_have_it(
    begin: int, end: int, tmp_path: Path
) -> None:
    put(tmp_path, "a", f"\ufeff{TEXT}", f"\ufeffT1\tDRUG {begin} {end}\tAspirin\n")
    (sample,), refused = read(tmp_path)
    assert not refused
    assert sample.row["text"] == TEXT
    assert sample.row["spans"] == [{"begin": 0, "end": 7, "type": "DRUG", "parts": []}]
