"""Texts to a network and back: tokens, batches, each task from data to scores."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import MedrayError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_trained
from medray.modalities.plan import PredictOptions
from medray.modalities.text import Texts
from medray.modalities.text.encoded import encoded, encoded_all
from medray.modalities.text.plan import TextPlan, TextPlanOptions
from medray.modalities.text.predictor import TextPredictor
from medray.modalities.text.readings import reading_of
from medray.modalities.text.sentences import sentences
from medray.modalities.text.tokens import Codec, split, vocabulary
from medray.models.text.base import FIRST, OTHER, SECOND, UNKNOWN, WORDS
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.documents import documents

Make = Callable[[str, list[Sample]], Dataset]
CPU = torch.device("cpu")
TRAIN = {"epochs": 8, "batch_size": 8, "checkpoint_every": 1000, "threads": 1, "clip_norm": 5}
NER = {"name": "ner", "types": ["DRUG"]}
LINKS = {"name": "relations", "types": ["RAISES"]}
SMALL = {"embedding": 16, "dropout": 0.1}
CLASSES = {"name": "classification", "target": "label", "classes": ["apart", "related"]}
TASKS: dict[str, tuple[dict[str, Any], dict[str, Any], str, float]] = {
    "ner": (NER, {"name": "bilstm-crf", "hidden": 16, **SMALL}, "f1", 0.95),
    "linear ner": (NER, {"name": "linear-crf"}, "f1", 0.95),
    "relations": (LINKS, {"name": "relation-cnn", "filters": 16, **SMALL}, "f1", 0.95),
    "wide relations": (
        LINKS, {"name": "relation-wide-deep", "filters": 16, "stages": 2, **SMALL}, "f1", 0.95
    ),
    "linear relations": (LINKS, {"name": "ngram-linear"}, "f1", 0.85),
    "text-cnn": (CLASSES, {"name": "text-cnn", "filters": 16, **SMALL}, "auroc", 0.95),
    "ngrams": (CLASSES, {"name": "ngram-linear"}, "auroc", 0.95),
    "summary": (
        {"name": "summary"}, {"name": "word-selector", "hidden": 16, **SMALL}, "rouge1", 0.95
    ),
}  # fmt: skip


def job(task: dict[str, Any], model: dict[str, Any], **train: Any) -> list[dict[str, Any]]:
    return [
        {
            "kind": "train", "data": "texts", "task": task, "model": model, "output": "net",
            "train": {**TRAIN, "optimiser": {"lr": 2e-2}, **train},
        },
        {
            "kind": "predict", "model": "net", "data": "texts", "select": {"split": "test"},
            "output": "found",
        },
        {
            "kind": "evaluate", "predictions": "found", "data": "texts", "output": "scores",
            "bootstrap": 20,
        },
    ]  # fmt: skip


def plan(**changed: Any) -> TextPlan:
    known: dict[str, Any] = {
        "answers": "spans", "classes": ("O", "B-DRUG", "I-DRUG"), "batch_size": 4, "samples": 9,
        "frequencies": (9.0,), "column": "text", "words": ("raises", "and"), "letters": "abc",
        "longest": None,
    }  # fmt: skip
    return TextPlan(**{**known, **changed})


def test_tokens_lie_where_they_say_and_lose_nothing_but_blanks() -> None:
    text = "50 µg/kg  (q.12h)\n🩸naïve_x\u2009BRCA1-β"
    tokens = split(text)
    assert [one.text for one in tokens] == [
        "50", "µg", "/", "kg", "(", "q", ".", "12h", ")", "🩸", "naïve", "_", "x", "BRCA1", "-",
        "β",
    ]  # fmt: skip
    assert all(text[one.begin : one.end] == one.text for one in tokens)
    between = [text[a.end : b.begin] for a, b in pairwise(tokens)]
    assert not "".join(between).strip()


def test_a_vocabulary_has_what_comes_often_and_folds_digits() -> None:
    words, letters = vocabulary(["Pain 12 pain 34 once", "PAIN"], 2)
    assert words == ("pain", "00")
    assert letters[0] in "nia"
    codec = Codec(words, letters)
    assert codec.words(("Pain", "99", "once", "7")).tolist() == [
        WORDS, WORDS + 1, UNKNOWN, UNKNOWN,
    ]  # fmt: skip
    assert codec.words(()).tolist() == []


def test_words_are_the_same_together_and_one_by_one() -> None:
    # A sigma is written in two ways in lower case, by whether it ends its word.
    tokens = ["ΟΔΟΣ", "Σ", "ΟΔΟΣΑ", "İ", "٣٤", "B12"]
    words, letters = vocabulary([" ".join(tokens)], 1)
    assert "οδος" in words
    codec = Codec(words, letters)
    one_by_one = [int(codec.words([token])[0]) for token in tokens]
    assert codec.words(tokens).tolist() == one_by_one
    assert UNKNOWN not in one_by_one
    several = [codec.spelt([token])[0].tolist() for token in tokens]
    assert codec.spelt(tokens).tolist() == several


def test_letters_of_long_words_are_their_ends() -> None:
    codec = Codec((), "ab")
    long, short = codec.spelt(["a" * 15 + "b" * 15, "a" * 10 + "b" * 10])
    assert long.tolist() == short.tolist()
    assert codec.spelt(["ab?"])[0, :4].tolist() == [2, 3, 1, 0]


def test_spans_become_tags_and_come_back() -> None:
    text = "given abmycin 50 mg. corolol"
    spans = [
        {"begin": 6, "end": 19, "type": "DRUG", "parts": []},
        {"begin": 6, "end": 13, "type": "DRUG", "parts": []},  # inside of the other
        {"begin": 21, "end": 28, "type": "DRUG", "parts": []},
        {"begin": 0, "end": 5, "type": "OTHER", "parts": []},
    ]
    reading = reading_of(plan(), build_task(NER))
    one = reading.encode({"text": text, "spans": spans}, learnt=True)
    assert one.target.tolist() == [0, 1, 2, 2, 0, 1]
    made = reading.columns(reading.placed(one, one.target[None].astype(np.float32)), {})
    assert [(span["begin"], span["end"]) for span in made["spans"]] == [(6, 19), (21, 28)]
    with pytest.raises(MedrayError, match="no-spans"):
        reading.encode({"text": text, "spans": None}, learnt=True)


def test_pairs_are_of_one_sentence_and_blind_to_names() -> None:
    text = "Abmycin raises corolol and nuxolol. Pilolol raises Dr. lemmycin."
    names = ["Abmycin", "corolol", "nuxolol", "Pilolol", "lemmycin"]
    spans = [
        {"begin": text.index(one), "end": text.index(one) + len(one), "type": "DRUG", "parts": []}
        for one in names
    ]
    links = [
        {"type": "RAISES", "first": 1, "second": 0},
        {"type": "RAISES", "first": 0, "second": 4},
    ]
    own = plan(answers="links", classes=("none", "RAISES"))
    reading = reading_of(own, build_task(LINKS))
    one = reading.encode({"text": text, "spans": spans, "relations": links}, learnt=True)
    assert one.pairs == [(0, 1), (0, 2), (1, 2), (3, 4)]
    assert one.labels.tolist() == [1, 0, 0, 0]
    raises, joins = WORDS, WORDS + 1
    assert one.words[0].tolist() == [FIRST, raises, SECOND, joins, OTHER, UNKNOWN]
    assert one.words[2].tolist() == [OTHER, raises, FIRST, joins, SECOND, UNKNOWN]
    assert (one.first[2] - one.first[2][2]).tolist() == [-2, -1, 0, 1, 2, 3]
    directed = reading_of(own, build_task({**LINKS, "directed": True}))
    both = directed.encode({"text": text, "spans": spans, "relations": links}, learnt=True)
    assert len(both.pairs) == 8
    assert [pair for pair, label in zip(both.pairs, both.labels, strict=True) if label] == [(1, 0)]


def test_lists_of_other_spans_are_read_as_one() -> None:
    text = "abmycin and nuxolol, corolol and / or abmycin raises pilolol, and lemmycin"
    spans = [
        {"begin": one.begin, "end": one.end, "type": "DRUG", "parts": []}
        for one in split(text)
        if len(one.text) > 6
    ]
    own = plan(answers="links", classes=("none", "RAISES"), words=("and", ",", "/", "or", "raises"))
    one = reading_of(own, build_task(LINKS)).encode({"text": text, "spans": spans}, learnt=False)
    told = {pair: words.tolist() for pair, words in zip(one.pairs, one.words, strict=True)}
    joins, comma, slash, either, raises = range(WORDS, WORDS + 5)
    # Three words stand between the third and the fourth, which is more than lists have.
    tail = [raises, OTHER]
    assert told[0, 1] == [
        FIRST, joins, SECOND, comma, OTHER, joins, slash, either, OTHER, *tail,
    ]  # fmt: skip
    assert told[2, 4] == [OTHER, comma, FIRST, joins, slash, either, OTHER, raises, SECOND, comma,
                          joins, OTHER]  # fmt: skip
    places = dict(zip(one.pairs, one.first, strict=True))
    assert (places[2, 4] - places[2, 4][2]).tolist() == list(range(-2, 10))
    assert (0, 3) in told
    distinct = reading_of(own.model_copy(update={"alike": False}), build_task(LINKS))
    left = distinct.encode({"text": text, "spans": spans}, learnt=False)
    assert left.pairs == [pair for pair in one.pairs if pair != (0, 3)]


def test_sentences_end_where_readers_end_them() -> None:
    text = "Seen by Dr. Who at 3.5 mg. No pain (e.g. of legs).\nPlan: rest! Is it 5 vs. 6? Yes."
    found = [text[begin:end] for begin, end in sentences(text)]
    assert found == [
        "Seen by Dr. Who at 3.5 mg.", "No pain (e.g. of legs).", "Plan: rest!", "Is it 5 vs. 6?",
        "Yes.",
    ]  # fmt: skip
    assert len(sentences("One. Two", [(0, 8)])) == 1
    items = "These are listed: - One . - Two - of 3. * Four"
    assert [items[begin:end] for begin, end in sentences(items)] == [
        "These are listed: - One .", "- Two - of 3.", "* Four",
    ]  # fmt: skip
    assert sentences("") == []


@pytest.mark.parametrize("name", TASKS)
def test_each_task_from_data_to_scores(name: str, objects: Objects, make_dataset: Make) -> None:
    task, model, metric, least = TASKS[name]
    samples = documents(120)
    make_dataset("texts", samples)
    _, predicted, scored = run(job(task, model), storage=objects, cluster="inline").steps
    found = open_dataset(objects, predicted.output).samples.to_pylist()
    assert [row["sample_id"] for row in found] == [
        one.id for one in samples if one.row["split"] == "test"
    ]
    assert scored.metrics[metric] >= least
    card = open_model(objects, "net").read("card.md").decode()
    assert "words in the vocabulary" in card
    assert "mycin" not in card
    # What is answered together is what is answered alone, as an endpoint would.
    net = load_trained(objects, "net")
    predictor = TextPredictor(net, Asking(PredictOptions()))
    columns = Texts().outputs(type(net.network), net.task, None).columns & set(found[0])
    for row in found[:7]:
        asked = InMemory(Sample(row["sample_id"], {**row, "spans": row["spans"]}))
        (alone,) = predictor.compute([predictor.prepare(asked, 1)])
        for column in columns - {"probability"}:
            assert alone.row[column] == row[column], column


def test_a_network_is_linear_in_what_it_reads_and_a_baseline_stands_beside(
    objects: Objects, make_dataset: Make
) -> None:
    make_dataset("texts", documents(120))
    task, model, *_ = TASKS["text-cnn"]
    *_, scored = run(job(task, model), storage=objects, cluster="inline").steps
    assert scored.metrics["baseline_accuracy"] > 0.9


def test_folds_answer_entities_that_they_held_out(objects: Objects, make_dataset: Make) -> None:
    samples = documents(60)
    for number, one in enumerate(samples):
        one.row["fold"] = number % 2
    make_dataset("texts", samples)
    steps = job(*TASKS["linear ner"][:2])
    steps[0] |= {"select": {}, "folds": "fold"}
    steps[1] |= {"select": {}, "options": {}}
    *_, scored = run(steps, storage=objects, cluster="inline").steps
    assert scored.metrics["f1"] > 0.9
    make_dataset("others", documents(10, seed=5))
    steps[1] |= {"data": "others", "output": "other-found"}
    with pytest.raises(MedrayError, match="folds-of-masks"):
        run(steps[1:2], storage=objects, cluster="inline")


def test_relations_of_folds_are_those_of_their_mean(objects: Objects, make_dataset: Make) -> None:
    samples = documents(90)
    for number, one in enumerate(samples):
        one.row["fold"] = number % 3
    make_dataset("texts", samples)
    make_dataset("others", documents(10, seed=5))
    steps = job(*TASKS["relations"][:2])
    steps[0] |= {"select": {}, "folds": "fold", "task": {**steps[0]["task"], "threshold": 0.5}}
    steps[1] |= {"data": "others", "select": {}}
    steps[2] |= {"data": "others"}
    *_, scored = run(steps, storage=objects, cluster="inline").steps
    assert scored.metrics["f1"] > 0.9


def test_a_document_without_text_or_marks_is_told(objects: Objects, make_dataset: Make) -> None:
    samples = documents(20)
    samples[4].row["spans"] = None
    make_dataset("texts", samples)
    with pytest.raises(MedrayError, match="no-spans") as caught:
        run(job(*TASKS["ner"][:2])[:1], storage=objects, cluster="inline")
    assert caught.value.about == "d004"
    steps = job(CLASSES, TASKS["text-cnn"][1])
    steps[0] |= {"plan": {"column": "nothing"}}
    with pytest.raises(MedrayError, match="no-text"):
        run(steps[:1], storage=objects, cluster="inline")


def test_what_is_found_is_exported_as_it_is_read(
    objects: Objects, make_dataset: Make, tmp_path: Path
) -> None:
    make_dataset("texts", documents(60))
    steps = job(*TASKS["linear ner"][:2])[:2]
    for name in ("brat", "conll"):
        form = {"name": name}
        steps.append(
            {"kind": "export", "data": "found", "format": form, "to": str(tmp_path / name)}
        )
    public = {"name": "brat", "phi": {"method": "none"}}
    source = str(tmp_path / "brat")
    steps.append({"kind": "ingest", "format": public, "source": source, "output": "again"})
    run(steps, storage=objects, cluster="inline")
    found = open_dataset(objects, "found").samples.to_pylist()
    again = open_dataset(objects, "again").samples.to_pylist()
    for name in ("text", "spans", "relations"):
        assert [row[name] for row in again] == [row[name] for row in found]
    assert len(list((tmp_path / "conll").glob("*.conll"))) == len(found)


def test_an_empty_text_has_an_answer(objects: Objects, make_dataset: Make) -> None:
    make_dataset("texts", documents(40))
    run(job(*TASKS["ner"][:2], epochs=1)[:1], storage=objects, cluster="inline")
    predictor = TextPredictor(load_trained(objects, "net"), Asking(PredictOptions()))
    prepared = [
        predictor.prepare(InMemory(Sample(str(at), {"text": text})), 1)
        for at, text in enumerate(("", "  \n", "Given abmycin."))
    ]
    assert [one.row["spans"] for one in predictor.compute(prepared[:2])] == [[], []]
    assert len(list(predictor.compute(prepared))) == 3


def test_many_texts_are_cut_as_each_alone() -> None:
    texts = ["Given 5 mg.", "", "  \n", "x", "naïve 🩸 µg/kg\nagain and again", "end "]
    for longest in (None, 3):
        codec = Codec(("given",), "given")
        together = encoded_all(texts, codec, longest)
        for one, text in zip(together, texts, strict=True):
            alone = encoded(text, codec, longest)
            for name in ("forms", "begins", "ends"):
                assert getattr(one, name).tolist() == getattr(alone, name).tolist()


def test_a_batch_is_filled_up_without_a_say() -> None:
    codec = Codec(("given",), "given")
    short, long = encoded("given", codec, None), encoded("given " * 9, codec, 7)
    assert (len(short), len(long)) == (1, 7)
    options = TextPlanOptions()
    assert options.least == 2


def test_tokens_are_those_of_an_expression() -> None:
    chance = np.random.default_rng(0)
    letters = list("aZ09 _-.,µßé漢🩸\u00a0\u2009\n\t\x1f\u0663\u0301²½")
    for _ in range(200):
        text = "".join(chance.choice(letters, 30))
        wanted = [(one[0], *one.span()) for one in re.finditer(r"[^\W_]+|\S", text)]
        assert [tuple(one) for one in split(text)] == wanted
