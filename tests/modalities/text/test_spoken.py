"""What a speaker spells out is read as it is written, where it can be read in one way."""

from collections.abc import Callable

import numpy as np
import pytest

from medray.errors import MedrayError
from medray.jobs.run import run
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.readings import reading_of
from medray.modalities.text.spoken import written
from medray.modalities.text.tokens import cut, vocabulary
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.documents import documents

Make = Callable[[str, list[Sample]], Dataset]
ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def said(number: int) -> str:
    """A number below a million in words."""
    if number >= 1000:
        return f"{said(number // 1000)} thousand {said(number % 1000)}".strip()
    if number >= 100:
        joint = " and " if number % 3 and number % 100 else " "
        return f"{said(number // 100)} hundred{joint}{said(number % 100)}".strip()
    if number >= 20:
        joint = "-" if number % 2 and number % 10 else " "
        return f"{TENS.split()[number // 10 - 2]}{joint}{said(number % 10)}".strip()
    return ["", *ONES.split()][number]


def read(text: str) -> str:
    return " ".join(written(*cut(text))[0])


def test_every_number_that_is_spelled_out_is_that_number() -> None:
    chance = np.random.default_rng(0)
    several = [*range(10, 1200), *chance.integers(1200, 1_000_000, 500).tolist()]
    for number in several:
        if number >= 22_000 and said(number // 1000).endswith("two") and number % 1000 < 100:
            continue  # days and years, see below
        assert read(f"at {said(number)} of") == f"at {number} of", said(number)
    assert read(ONES[:39]) == ONES[:39]  # as a row of numbers is not one


@pytest.mark.parametrize(
    ("spoken", "told"),
    [
        ("I am Seventy-Six years old", "I am 76 years old"),
        ("since nineteen ninety nine", "since 1999"),
        ("in two thousand and seven", "in 2007"),
        ("in twenty twelve", "in 2012"),
        ("one hundred twenty over eighty", "120 over 80"),
        ("thirty to forty", "30 to 40"),
        ("take forty M G, then an E K G", "take 40 MG , then an EKG"),
        ("an M R I", "an MRI"),
        ("twelve and some", "12 and some"),
        ("and twenty", "and 20"),
    ],
)
def test_what_can_be_read_in_one_way_is_written(spoken: str, told: str) -> None:
    assert read(spoken) == told


@pytest.mark.parametrize(
    "text",
    [
        "one twenty over", "ninety eight point six", "twenty first of May", "twenty - first",
        "twelve and a half", "twenty twenty", "five five five one two", "two weeks", "hundred",
        "between one hundred and two hundred", "nineteen oh five", "vitamin D I take", "a M", "",
        "two million", "ten quarters", "June thirty two thousand and four",
        "twenty two thousand", "point twenty five",
    ],
)  # fmt: skip
def test_what_cannot_stays_as_it_is(text: str) -> None:
    assert read(text) == text


def test_places_are_those_of_all_that_was_said() -> None:
    text = "He is  seventy six. E K G"
    tokens, begins, ends = written(*cut(text))
    assert [text[a:b] for a, b in zip(begins, ends, strict=True)] == [
        "He", "is", "seventy six", ".", "E K G",
    ]  # fmt: skip
    assert tokens == ["He", "is", "76", ".", "EKG"]


def test_a_summary_has_numbers_as_notes_have_them() -> None:
    text = "She is seventy six and takes forty M G. Forty!"
    row = {"text": text, "summary": "A 76-year-old on 40 mg"}
    words, letters = vocabulary([text], 1, spoken=True)
    assert {"00", "mg"} < set(words)
    assert not {"seventy", "m"} & set(words)
    task = build_task({"name": "summary", "threshold": 0.5})
    plan = TextPlan(
        answers="extract", classes=task.classes, batch_size=1, samples=1, frequencies=(9.0,),
        column="text", words=words, letters=letters, longest=None, spoken=True,
    )  # fmt: skip
    reading = reading_of(plan, task)
    one = reading.encode(row, learnt=True)
    taken = [0, 0, 1, 0, 0, 1, 1, 255, 0, 255]
    assert one.target.tolist() == taken
    answer = (np.array([taken]) == 1).astype(np.float32)
    assert reading.columns(reading.placed(one, answer), row) == {
        "extract": "76 40 MG", "extract_at": [7, 29, 35],
    }  # fmt: skip
    assert task.judge(answer, reading.truth(one))[9] == pytest.approx(2 * 3 / (3 + 7))
    plain = reading_of(plan.model_copy(update={"spoken": False}), task)
    assert plain.encode(row, learnt=True).target.sum() == 2 * 255  # nothing but two stops


def test_only_summaries_are_written_anew(objects: Objects, make_dataset: Make) -> None:
    make_dataset("texts", documents(20))
    step = {
        "kind": "train", "data": "texts", "output": "net", "plan": {"spoken": True},
        "task": {"name": "ner", "types": ["DRUG"]}, "model": {"name": "linear-crf"},
        "train": {"epochs": 1, "threads": 1},
    }  # fmt: skip
    with pytest.raises(MedrayError, match="task-mismatch") as caught:
        run([step], storage=objects, cluster="inline")
    assert caught.value.about == "plan.spoken"


def test_quantities_of_what_was_said_are_found(objects: Objects, make_dataset: Make) -> None:
    chance, samples = np.random.default_rng(0), []
    for number in range(90):
        age = int(chance.integers(20, 99))
        filler = " ".join(chance.choice(["well", "so", "the", "of"], 4))
        row = {
            "subject": f"s{number}", "split": "test" if number % 3 == 0 else "train",
            "text": f"Doctor: {filler} age? Patient: I am {said(age)} years old, {filler}.",
            "summary": f"{age} years",
        }  # fmt: skip
        samples.append(Sample(f"d{number:02d}", row))
    make_dataset("texts", samples)
    train = {"epochs": 8, "batch_size": 8, "optimiser": {"lr": 2e-2}, "threads": 1}
    steps = [
        {
            "kind": "train", "data": "texts", "output": "net", "plan": {"spoken": True},
            "task": {"name": "summary", "threshold": 0.5}, "train": train,
            "model": {"name": "word-selector", "hidden": 16, "embedding": 16, "dropout": 0.1},
        },
        {
            "kind": "predict", "model": "net", "data": "texts", "select": {"split": "test"},
            "output": "found",
        },
        {"kind": "evaluate", "predictions": "found", "data": "texts", "output": "scores",
         "bootstrap": 20},
    ]  # fmt: skip
    *_, scored = run(steps, storage=objects, cluster="inline").steps
    assert scored.metrics["quantities_found"] == 1
    assert scored.metrics["quantities_right"] == 1
    assert scored.metrics["rouge1"] > 0.95
