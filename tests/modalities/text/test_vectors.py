"""A network begins with vectors of words: rows by the vocabulary, files that are sound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities.text.vectors import vectors_of
from medray.models.text.base import WORDS
from medray.spec.training import InitialWeights, WordVectors
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from tests.documents import DRUGS, documents

Make = Callable[[str, list[Sample]], Dataset]
VOCABULARY = ("pain", "mg", "000", "µg")
GLOVE = "Pain 9 9\nthe 1 2\nmg 3 4.5\n. . 7 7\n1990 5 6\npain 1 -1e-1\n200 8 8\nMG 0 0\n"


def read(path: Path, text: str | bytes, **more: Any) -> dict[int, list[float]]:
    """Vectors by row of the vocabulary."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = vectors_of(WordVectors(file=str(path), **more), VOCABULARY)
    assert found.words == len(VOCABULARY)
    assert found.source == path.name
    return dict(zip((found.rows - WORDS).tolist(), found.values.tolist(), strict=True))


def test_words_are_met_as_the_vocabulary_has_them(tmp_path: Path) -> None:
    # "Pain" came first, but "pain" is what the vocabulary has; of numbers the first that is alike.
    wanted = {0: [1, pytest.approx(-0.1)], 1: [3, 4.5], 2: [8, 8]}
    assert read(tmp_path / "glove.txt", GLOVE) == wanted
    assert read(tmp_path / "w2v.vec", "8 2\n" + GLOVE.replace("\n", " \n")) == wanted
    assert read(tmp_path / "more.txt", GLOVE + "Mg 0 0\nµg 2 2\n\n")[3] == [2, 2]
    assert read(tmp_path / "bom.txt", b"\xef\xbb\xbfpain 1 2\n") == {0: [1, 2]}
    assert read(tmp_path / "bom.vec", b"\xef\xbb\xbf1 2\npain 1 2\n") == {0: [1, 2]}
    assert read(tmp_path / "bad-words.txt", b"\xff\xfe 1 1\nmg 1 2\n") == {1: [1, 2]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GLOVE + "heart 1\n", "line 9 has 1 numbers for 2"),
        (GLOVE + "heart 1 2 3\n", "line 9 has 3 numbers for 2"),
        ("9 2\n" + GLOVE, "line 1 says 9 words, and 8 follow"),
        ("pain 1 x\n", "line 1 has something that is no number"),
        ("the 1 2\npain 1 nan\n", "line 2 has a number that is not finite"),
        ("the 1 2\npain 1 1e60\n", "line 2 has a number that is not finite"),
        ("the 1 2\npain\0 1 2\n", "line 2 is no text"),
        ("x" * (1 << 20), "line 1 is no text"),
        ("\npain 1 2\n", "line 1 is empty"),
        ("pain\n", "line 1 has no numbers"),
        ("", "there are no words"),
        ("0 2\n", "there are no words"),
    ],
)
def test_a_broken_text_is_refused_by_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SpecError, match="bad-vectors") as caught:
        read(tmp_path / "broken.txt", text)
    assert caught.value.message == says
    assert caught.value.about == str(tmp_path / "broken.txt")


def test_words_that_are_no_utf8_are_counted(tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level("WARNING"):
        read(tmp_path / "latin.txt", GLOVE.encode() + "µg 1 1\n".encode("latin-1"))
    (told,) = [one for one in caplog.records if "vectors-not-utf8" in one.getMessage()]
    assert told.__dict__["fields"] == {"file": "latin.txt", "words": 1, "of": 9}


def test_an_encoder_has_rows_by_its_vocabulary(tmp_path: Path) -> None:
    table = torch.tensor([[0, 0], [1, 2], [3, 4], [5, 6]], dtype=torch.bfloat16)
    file, words = tmp_path / "model.safetensors", tmp_path / "vocab.txt"
    save_file({"embed.weight": table, "bias": torch.zeros(4)}, file)
    words.write_text("[PAD]\nmg\n##mg\npain\n")
    data = file.read_bytes()
    assert read(file, data, vocabulary=str(words)) == {0: [5, 6], 1: [1, 2]}
    assert read(file, data, vocabulary=str(words), tensor="embed.weight")[0] == [5, 6]
    for changed, code in (
        ({}, "vectors-differ"),
        ({"vocabulary": str(words), "tensor": "bias"}, "unknown-tensor"),
        ({"vocabulary": str(tmp_path / "none")}, "no-vectors"),
    ):
        with pytest.raises(SpecError, match=code):
            read(file, data, **changed)
    # Words that end lines elsewhere.
    words.write_bytes("\u2028\r\nmg\r\n\x85\r\npain".encode())
    assert read(file, data, vocabulary=str(words)) == {0: [5, 6], 1: [1, 2]}
    words.write_text("mg\npain\n")
    with pytest.raises(SpecError, match="vectors-differ") as caught:
        read(file, data, vocabulary=str(words))
    assert caught.value.message == f"'embed.weight' has 4 rows, and {words} 2 words"
    words.write_text("a\nb\nc\nd\n")
    with pytest.raises(SpecError, match="no-words-met"):
        read(file, data, vocabulary=str(words))
    with pytest.raises(SpecError, match="bad-vectors"):
        read(file, data[:-3], vocabulary=str(words))
    save_file({"one": table, "two": table.clone()}, file)
    with pytest.raises(SpecError, match="unknown-tensor") as caught:
        read(file, file.read_bytes(), vocabulary=str(words))
    assert "one, two" in caught.value.hint
    for name in ("nothing.txt", "nothing.safetensors"):
        with pytest.raises(SpecError, match="no-vectors") as caught:
            vectors_of(WordVectors(file=str(tmp_path / name), vocabulary=str(words)), VOCABULARY)
        assert caught.value.about == str(tmp_path / name)


def test_a_network_begins_with_a_model_or_with_vectors() -> None:
    for wrong in ({}, {"model": "a", "vectors": {"file": "b"}},
                  {"vectors": {"file": "b"}, "only": ["words"]}):  # fmt: skip
        with pytest.raises(ValueError, match="init_from"):
            InitialWeights.model_validate(wrong)
    assert InitialWeights.model_validate("net").model == "net"


def job(file: Path, **model: Any) -> dict[str, Any]:
    return {
        "kind": "train", "data": "texts", "output": "net",
        "task": {"name": "ner", "types": ["DRUG"]},
        "model": {"name": "bilstm-crf", "hidden": 8, "embedding": 4, **model},
        "train": {
            "epochs": 1, "threads": 1, "freeze": ["words"],
            "init_from": {"vectors": {"file": str(file)}},
        },
    }  # fmt: skip


def test_a_training_takes_rows_and_says_how_many(
    objects: Objects, make_dataset: Make, tmp_path: Path
) -> None:
    make_dataset("texts", documents(40))
    file = tmp_path / "glove.txt"
    table = np.arange(4 * len(DRUGS)).reshape(-1, 4) / 8
    lines = [f"{drug} {' '.join(map(str, row))}" for drug, row in zip(DRUGS, table, strict=True)]
    file.write_text("\n".join(lines))
    (first,) = run([job(file)], storage=objects, cluster="inline").steps
    package = open_model(objects, "net")
    words = package.config["plan"]["words"]
    assert package.config["initialised"] == {
        "vectors": "glove.txt", "taken": len(DRUGS), "words": len(words),
    }  # fmt: skip
    weights = package.weights()["words.weight"]
    for drug, row in zip(DRUGS, table, strict=True):
        assert weights[WORDS + words.index(drug)].tolist() == row.tolist()
    # The same file is the same training, another is another.
    (again,) = run([job(file)], storage=objects, cluster="inline").steps
    assert again.units.skipped == 1
    file.write_text("\n".join(lines[1:]))
    (other,) = run([job(file)], storage=objects, cluster="inline").steps
    assert other.run != first.run
    assert open_model(objects, "net").config["initialised"]["taken"] == len(DRUGS) - 1
    with pytest.raises(SpecError, match="vectors-differ") as caught:
        run([job(file, embedding=5)], storage=objects, cluster="inline")
    assert caught.value.about == "glove.txt"
    assert "embedding: 4" in caught.value.hint
    linear = job(file) | {"model": {"name": "linear-crf"}}
    linear["train"] = {**linear["train"], "freeze": []}
    with pytest.raises(SpecError, match="no-words"):
        run([linear], storage=objects, cluster="inline")
    file.unlink()
    with pytest.raises(SpecError, match="no-vectors"):
        run([job(file)], storage=objects, cluster="inline")


def trained(
    objects: Objects, data: str, **train: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights, and the config, of a network that has learnt nothing."""
    step = {
        "kind": "train", "data": data, "output": "net", "task": {"name": "abstractive-summary"},
        "model": {"name": "pointer-generator", "hidden": 4, "embedding": 4, "longest": 3},
        "plan": {"least": 1}, "train": {
            "epochs": 1, "steps_per_epoch": 1, "threads": 1, "select": "last",
            "optimiser": {"lr": 1e-12, "weight_decay": 0}, **train,
        },
    }  # fmt: skip
    run([step], storage=objects, cluster="inline")
    package = open_model(objects, "net")
    return package.weights(), package.config


def test_of_another_model_words_are_taken_over_as_words(
    objects: Objects, make_dataset: Make
) -> None:
    """As many words in another order: rows by their places would be those of other words."""
    texts = ["ash birch cedar", "ash birch", "ash"]

    def made(texts: list[str]) -> list[Sample]:
        several = [*texts, *texts]
        return [
            Sample(f"d{at}", {"text": one, "summary": one, "split": "train" if at < 3 else "val"})
            for at, one in enumerate(several)
        ]

    make_dataset("texts", made(texts))
    first, before = trained(objects, "texts")
    make_dataset("others", made(["birch elm ash", "birch elm", "birch"]))
    second, after = trained(objects, "others", init_from="net", seed=1)
    old, new = (config["plan"]["words"] for config in (before, after))
    assert old == ["ash", "birch", "cedar"]
    assert new == ["birch", "elm", "ash"]
    for table, offset in (("words.weight", WORDS), ("head.weight", 1), ("head.bias", 1)):
        there, here = first[table], second[table]
        assert there.shape == here.shape
        for word in ("ash", "birch"):
            row, other = here[offset + new.index(word)], there[offset + old.index(word)]
            np.testing.assert_allclose(row, other, atol=1e-9)
        for word in old:
            assert not np.allclose(here[offset + new.index("elm")], there[offset + old.index(word)])
        np.testing.assert_allclose(here[0], there[0], atol=1e-9)
    np.testing.assert_allclose(first["key.weight"], second["key.weight"], atol=1e-9)
    told = after["initialised"]
    assert told["rows"] == {"words.weight": WORDS + 2, "head.weight": 3, "head.bias": 3}
    assert told["fresh"] == 0
