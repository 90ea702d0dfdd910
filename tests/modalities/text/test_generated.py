"""Summaries that are written: numbers and names out of the text, the rest from a vocabulary."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from medray.engine.training.loop import fit, weights_of
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.errors import MedrayError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_trained
from medray.modalities.plan import PredictOptions, Wanted
from medray.modalities.text import Texts
from medray.modalities.text.generated import UNSAID, pieces, told, writing
from medray.modalities.text.plan import TextPlan, TextPlanOptions
from medray.modalities.text.predictor import TextPredictor
from medray.modalities.text.readings import reading_of
from medray.modalities.text.tokens import cut, vocabulary
from medray.models.text.base import FIRST
from medray.models.text.beam import END
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from medray.tasks import build_task

Make = Callable[[str, list[Sample]], Dataset]
CPU = torch.device("cpu")
TEXT = "Doctor: age? I am seventy six, on 1.5 MG abmycin, and abmycin again."
SUMMARY = "76-year-old; takes 1.5 mg, never 4."


@pytest.mark.parametrize(
    "text", ["A 76-year-old (no pain).", "1.5 mg/dl of O2", "don't", "", "# ## x", "-"]
)
def test_pieces_are_the_text(text: str) -> None:
    assert told(pieces(*cut(text))) == " ".join(text.split())


def test_no_number_is_in_a_vocabulary_that_is_written() -> None:
    made = writing(["The MG of B12 is 40 mg.", "the mg the"], 2)
    assert made == ("mg", "the")
    several = ("the", "##.", "##;", "dose", "end")
    assert writing(["The dose. the end; the"], 1) == several


def plan(**changed: Any) -> TextPlan:
    words, letters = vocabulary([TEXT], 1, spoken=True)
    known: dict[str, Any] = {
        "answers": "generated", "classes": ("token",), "batch_size": 1, "samples": 1,
        "frequencies": (), "column": "text", "words": words, "letters": letters, "longest": None,
        "spoken": True, "writes": ("mg", "##-", "##year", "Takes"),
    }  # fmt: skip
    return TextPlan(**{**known, **changed})


def test_a_text_becomes_tokens_and_a_summary_comes_back() -> None:
    task = build_task({"name": "abstractive-summary"})
    reading = reading_of(plan(), task)
    row = {"text": TEXT, "summary": SUMMARY}
    one = reading.encode(row, learnt=True)
    tokens = reading.tokens(TEXT)[0]
    assert tokens[6] == "76"
    own = {key: 5 + at for at, key in enumerate(dict.fromkeys(
        piece.lower() for piece in pieces(*reading.tokens(TEXT)) if piece.lower() != "mg"
    ))}  # fmt: skip
    assert one.copies[tokens.index("MG")] == 1
    assert one.copies[tokens.index("76")] == own["76"]
    known = [
        own["76"], 2, 3, 2, UNSAID, UNSAID, 4, own["1"], own["##."], own["##5"], 1, own["##,"],
        UNSAID, UNSAID, own["##."], END,
    ]  # fmt: skip
    assert one.reference.tolist() == known
    assert one.before[0] == FIRST
    assert one.before[1] == reading.codec.words(["76"])[0]
    found = np.array([token for token in known if token != UNSAID] + [2, 2], np.float32)
    placed = reading.placed(one, found)
    assert placed[0] == -1 - tokens.index("76")
    assert reading.columns(placed, row) == {"generated": "76-year- Takes 1.5 mg,."}
    shared = 2 + 4  # 76 year, takes 1 5 mg
    (score,) = task.judge(found, reading.truth(one))
    assert score == pytest.approx(2 * shared / (shared + 9))
    assert reading.target([one], CPU).tolist() == [12]
    untold = reading.encode({"text": TEXT}, learnt=False)
    assert untold.copies.tolist() == one.copies.tolist()
    assert "reference" not in reading.inputs([one], CPU)
    with pytest.raises(MedrayError, match="bad-target"):
        reading.encode({"text": TEXT, "summary": None}, learnt=True)


NAMES = [f"{a}{b}{c}ine" for a in ("br", "kl", "ph", "st", "tr") for b in "aeiou" for c in "dlmn"]


def visits(count: int, seed: int = 0) -> list[Sample]:
    """Of each the summary has a drug and a dose of its text in another order. Every third is of
    `test`, whose drugs no other has."""
    chance, made = np.random.default_rng(seed), []
    for number in range(count):
        test = number % 3 == 0
        names = NAMES[:25] if test else NAMES[25:]
        drug, dose = str(chance.choice(names)), int(chance.integers(100, 999))
        filler = " ".join(chance.choice(["well", "so", "the", "of"], 2))
        row = {
            "subject": f"s{number}", "split": "test" if test else "train",
            "text": f"{filler} take {drug} at {dose} now, {filler}",
            "summary": f"Given {dose} mg {drug}.",
        }  # fmt: skip
        made.append(Sample(f"d{number:03d}", row))
    return made


def steps(**train: Any) -> list[dict[str, Any]]:
    return [
        {
            "kind": "train", "data": "visits", "output": "net",
            "task": {"name": "abstractive-summary"}, "plan": {"least": 5},
            "model": {
                "name": "pointer-generator", "hidden": 24, "embedding": 16, "dropout": 0.1,
                "longest": 12, "beam": 2,
            },
            "train": {
                "epochs": 12, "batch_size": 16, "optimiser": {"lr": 2e-2}, "threads": 1,
                "clip_norm": 2, "checkpoint_every": 1000, **train,
            },
        },
        {
            "kind": "predict", "model": "net", "data": "visits", "select": {"split": "test"},
            "output": "found",
        },
        {"kind": "evaluate", "predictions": "found", "data": "visits", "output": "scores",
         "bootstrap": 20},
    ]  # fmt: skip


def test_words_that_were_never_seen_are_copied(objects: Objects, make_dataset: Make) -> None:
    data = make_dataset("visits", visits(450))
    *_, scored = run(steps(), storage=objects, cluster="inline").steps
    assert scored.metrics["rouge1"] > 0.95
    assert scored.metrics["quantities_right"] > 0.95
    assert scored.metrics["quantities_found"] > 0.95
    found = open_dataset(objects, "found").samples.to_pylist()
    truth = {row["sample_id"]: row for row in data.samples.to_pylist()}
    right = [row["generated"] == truth[row["sample_id"]]["summary"] for row in found]
    assert np.mean(right) > 0.9
    package = open_model(objects, "net")
    assert "numbers of a summary are copied from its text" in package.read("card.md").decode()
    # An endpoint asks about each alone what bulk asks about together.
    predictor = TextPredictor(load_trained(objects, "net"), Asking(PredictOptions()))
    for row in found[:20]:
        asked = InMemory(Sample(row["sample_id"], {"text": row["text"]}))
        (alone,) = predictor.compute([predictor.prepare(asked, 1)])
        assert alone.row["generated"] == row["generated"]
    empty = InMemory(Sample("empty", {"text": " \n"}))
    (alone,) = predictor.compute([predictor.prepare(empty, 1)])
    assert isinstance(alone.row["generated"], str)
    # Networks of several seeds have no mean of texts.
    more = steps()[0] | {"members": 2, "output": "several"}
    with pytest.raises(MedrayError, match="folds-of-masks"):
        run([more], storage=objects, cluster="inline")


class Stopped(Exception):
    """In place of a death, behind an epoch."""


def test_a_training_that_is_resumed_writes_the_same(objects: Objects, make_dataset: Make) -> None:
    data = make_dataset("visits", visits(90))
    task = {"name": "abstractive-summary"}
    model = {"name": "pointer-generator", "hidden": 8, "embedding": 8, "longest": 6}
    settings = TrainSettings(epochs=3, steps_per_epoch=2, batch_size=7, augment=None)
    wanted = Wanted(model, settings, TextPlanOptions(least=5))
    train = data.select({"split": "train"})
    made = Texts().plan(data, train, build_task(task), wanted)
    whole = TrainSetup(
        objects, data.reference, task, model, made, settings, "runs/whole",
        validation={"split": "test"},
    )  # fmt: skip
    result = fit(whole, World())
    assert 0 <= result.metrics["val_rouge1"] < 1

    def stop(metrics: dict[str, Any]) -> None:
        raise Stopped

    cut_short = replace(whole, run="runs/cut")
    for _ in range(3):
        with pytest.raises(Stopped):
            fit(cut_short, World(report=stop))
    again = fit(cut_short, World())
    assert again.metrics == result.metrics
    assert [row["loss"] for row in again.rows] == [row["loss"] for row in result.rows]
    one, other = weights_of(whole, result), weights_of(cut_short, again)
    assert all(torch.equal(one[name], other[name]) for name in one)
