"""What a page shows of scores of pairs: the worst drawn with their proteins, unequal affinities."""

from collections.abc import Callable
from typing import Any

import pytest

from medray.modalities.pair import PairSamples
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.section import Section

Make = Callable[[str, list[Sample]], Dataset]
ROWS: list[tuple[str, str, str | None, float | None, float]] = [
    # SMILES, sequence, protein, affinity, prediction
    ("CCO", "S1", "ABL1", 5.0, 5.5),
    ("CCO", "S1", "ABL1(E255K)", 7.0, 5.0),
    ("CCN", "S2", None, 6.0, 6.25),
    ("CCN", "S1", "P" * 50, 6.0, 9.0),
    ("CCC", "S1", "ABL1", None, 9.0),
    ("CCC", "S1", "ABL1", 5.5, 5.5),
]


def illustrated(make_dataset: Make, rows: list[Any]) -> Section:
    truth = [
        Sample(
            f"p{at}",
            {"canonical": smiles, "sequence_id": of, "protein": name, "affinity": value},
        )
        for at, (smiles, of, name, value, _) in enumerate(rows)
    ]
    answers = [Sample(f"p{at}", {"predicted": row[4]}) for at, row in enumerate(rows)]
    task = build_task({"name": "regression", "target": "affinity"})
    section = Section("Scores: some", notes=["A note."])
    data, found = make_dataset("truth", truth), make_dataset("found", answers)
    return PairSamples().illustrate(section, task, data, found)


def test_the_worst_pairs_are_drawn_and_their_proteins_named(make_dataset: Make) -> None:
    (picture,) = illustrated(make_dataset, ROWS).pictures
    assert [caption for caption, _ in picture.panels] == [
        f"p3 with {'P' * 40}…: error 3",
        "p1 with ABL1(E255K): error 2",
        "p0 with ABL1: error 0.5",
        "p2 with S2: error 0.25",
        "p5 with ABL1: error 0",
    ]
    assert all(b"<svg" in one for _, one in picture.panels)


@pytest.mark.parametrize(("rows", "told"), [(6, True), (1, False)])
def test_equal_pairs_with_unequal_affinities_are_counted(
    make_dataset: Make, rows: int, told: bool
) -> None:
    # CCO with S1 has 5 and 7; CCC with S1 has one value and a blank, which differ in nothing.
    sentence = (
        "1 of 4 pairs of one compound and one sequence stand there more than once, with unequal "
        "affinities: no answer is right for all of them."
    )
    assert illustrated(make_dataset, ROWS[:rows]).notes == ["A note.", *[sentence] * told]
