"""CoNLL: sentences and documents, offsets, what can't be used, and back to files."""

from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.documents.conll import Conll
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

FILE = "The\tO\nlung\tB-Organ\nand\tO\nleft\tB-Organ\nkidney\tI-Organ\n\nPain\tO\n.\tO\n\n"


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form = Conll(Conll.Options.model_validate({"phi": {"method": "none"}, **options}))
    source, samples, refused = Source(root), [], []
    plan = form.plan(source)
    for group in plan.groups:
        for item in group:
            for one in form.read(source, item):
                if isinstance(one, Refusal):
                    refused.append(one)
                else:
                    samples += list(one.each())
    return samples, [*plan.refused, *refused]


def quotes(sample: Sample) -> list[tuple[str, str]]:
    text = sample.row["text"]
    return [(one["type"], text[one["begin"] : one["end"]]) for one in sample.row["spans"]]


def test_a_sentence_is_a_sample_and_spans_are_exact(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(FILE)
    samples, refused = read(tmp_path, splits={"train.tsv": "train"})
    assert not refused
    assert [one.row["text"] for one in samples] == ["The lung and left kidney", "Pain ."]
    assert quotes(samples[0]) == [("Organ", "lung"), ("Organ", "left kidney")]
    assert samples[0].row["spans"][1]["begin"] == 13
    assert samples[1].row["spans"] == []
    assert {one.row["split"] for one in samples} == {"train"}
    assert [one.id for one in samples] == ["train.tsv-000001", "train.tsv-000002"]


def test_documents_are_told_apart_and_sentences_name_them(tmp_path: Path) -> None:
    text = f"-DOCSTART- -X- O O\n\n{FILE}-DOCSTART- -X- O O\n\nRenal\tB-Organ\nfailure\tO\n"
    (tmp_path / "a.conll").write_text(text.replace("\t", " NN "))
    whole, refused = read(tmp_path, sample="document")
    assert not refused
    assert [one.row["text"] for one in whole] == [
        "The lung and left kidney\nPain .",
        "Renal failure",
    ]
    assert quotes(whole[1]) == [("Organ", "Renal")]
    single, _ = read(tmp_path)
    assert len(single) == 3
    assert [one.row["subject"] for one in single] == [
        "a.conll-000001", "a.conll-000001", "a.conll-000002",
    ]  # fmt: skip
    assert len({one.id for one in single}) == 3


def test_line_ends_and_letters_beyond_ascii_keep_offsets(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes("µg\tO\r\n🫀x\tB-Organ\r\nß\tI-Organ\r\n\r\nend\tO".encode())
    samples, refused = read(tmp_path)
    assert not refused
    assert quotes(samples[0]) == [("Organ", "🫀x ß")]
    assert len(samples) == 2


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("a\tO\nb\tI-x\n", "bad-tag"),
        ("a\tO\nb\n", "uneven-row"),
        ("a\tO\n\tO\n", "uneven-row"),
        ("a\tO\n \nb\tO\n", "uneven-row"),
        (b"a\tO\n\xff\tO\n".decode("latin-1"), ""),
    ],
)
def test_a_sentence_that_can_t_be_used_is_refused_alone(
    lines: str, code: str, tmp_path: Path
) -> None:
    (tmp_path / "a.tsv").write_bytes(f"{lines}\nfine\tB-x\n".encode("utf-8" if code else "latin-1"))
    samples, refused = read(tmp_path)
    assert [one.row["text"] for one in samples] == ["fine"]
    assert [one.code for one in refused] == [code or "not-utf8"]
    assert refused[0].sample == "a.tsv-000001"


def test_what_is_long_or_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(FILE)
    _, refused = read(tmp_path, max_characters=10)
    assert [one.code for one in refused] == ["too-long"]
    (tmp_path / "a.tsv").write_text("")
    _, refused = read(tmp_path)
    assert [one.code for one in refused] == ["empty-file"]
    (tmp_path / "a.tsv").unlink()
    with pytest.raises(SpecError, match="nothing-found"):
        read(tmp_path)


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.conll").write_text(f"-DOCSTART-\tO\n\n{FILE}")
    samples, _ = read(tmp_path / "in", sample="document")
    form = Conll(Conll.Options())
    (path,) = form.write(samples, tmp_path / "out")
    assert path.read_text() == FILE


@pytest.mark.parametrize(
    ("span", "code"),
    [
        ({"begin": 1, "end": 4, "parts": []}, "span-inside-token"),
        ({"begin": 0, "end": 8, "parts": [0, 3, 4, 8]}, "discontinuous-span"),
        ({"begin": 0, "end": 8, "parts": []}, "nested-spans"),
    ],
)
def test_spans_that_tags_can_t_tell_are_refused(
    span: dict[str, Any], code: str, tmp_path: Path
) -> None:
    first = {"begin": 0, "end": 3, "type": "x", "parts": []}
    sample = Sample("a", {"text": "The lung", "spans": [first, {**span, "type": "x"}]})
    with pytest.raises(DataError, match=code):
        list(Conll(Conll.Options()).write([sample], tmp_path))


def test_the_corpus_of_diseases_adds_up(data_dir: Path) -> None:
    samples, refused = read(data_dir / "text/ner_ncbi_disease", splits={
        "train.tsv": "train", "devel.tsv": "val", "test.tsv": "test",
    })  # fmt: skip
    assert not refused
    counts = {
        split: (len(some), sum(len(one.row["spans"]) for one in some))
        for split in ("train", "val", "test")
        if (some := [one for one in samples if one.row["split"] == split])
    }
    # Sentences and mentions as counted in the files by their lines and B- tags.
    assert counts == {"train": (5424, 5134), "val": (923, 787), "test": (940, 960)}
