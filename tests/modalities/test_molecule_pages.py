"""What a page shows of compounds: errors by scaffold, and drawings of the worst."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from medray.formats.molecules.draw import LOWERS, RAISES, Drawing, drawn
from medray.modalities.molecule import MoleculeSamples
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.section import Section

Make = Callable[[str, list[Sample]], Dataset]
ROWS: list[tuple[str, str, float | None, float]] = [  # SMILES, scaffold, truth, prediction
    ("c1ccccc1C", "c1ccccc1", 1.0, 2.0),
    ("c1ccccc1CC", "c1ccccc1", 1.0, 3.0),
    ("CCO", "CCO", 0.0, 0.5),
    ("CCN", "CCN", 0.0, -4.0),
    ("c1ccccc1O", "c1ccccc1", None, 1.0),
]


def illustrated(make_dataset: Make, without: str = "", near: bool = False) -> Section:
    truth, answers = [], []
    for number, (smiles, scaffold, value, predicted) in enumerate(ROWS):
        row: dict[str, Any] = {"canonical": smiles, "scaffold": scaffold, "value": value}
        row.pop(without, None)
        truth.append(Sample(f"m{number}", row))
        like = {"nearest": (0.2, 0.8, 0.25, 1.0, 0.5)[number]} if near else {}
        answers.append(Sample(f"m{number}", {"predicted": predicted, **like}))
    task = build_task({"name": "regression"})
    section = Section("Scores: some")
    data, found = make_dataset("truth", truth), make_dataset("found", answers)
    return MoleculeSamples().illustrate(section, task, data, found)


def test_scaffolds_that_are_shared_have_a_line_each(make_dataset: Make) -> None:
    (table,) = illustrated(make_dataset).tables
    assert [dict(row) for row in table.rows] == [
        {"scaffold": "c1ccccc1", "cases": 2, "error": 1.5},
        {"scaffold": "all others", "cases": 2, "error": 2.25},
    ]
    assert "3 scaffolds in all, 2 of them of one compound" in table.note


def test_the_worst_are_drawn_first(make_dataset: Make) -> None:
    (picture,) = illustrated(make_dataset).pictures
    assert [caption for caption, _ in picture.panels] == [
        "m3: error 4",
        "m1: error 2",
        "m0: error 1",
        "m2: error 0.5",
    ]
    assert all(b"<svg" in one for _, one in picture.panels)
    assert picture.legend == []  # nothing is explained


@pytest.mark.parametrize(
    ("column", "tables", "pictures"), [("canonical", 1, 0), ("scaffold", 0, 1)]
)
def test_what_was_not_made_at_ingest_is_not_shown(
    make_dataset: Make, column: str, tables: int, pictures: int
) -> None:
    section = illustrated(make_dataset, without=column)
    assert (len(section.tables), len(section.pictures)) == (tables, pictures)


def test_what_can_not_be_drawn_is_left_out() -> None:
    found = drawn([Drawing(one) for one in ("C1CC", "C" * 500, "CO")])
    assert found[:2] == [None, None]
    assert found[2] is not None


def test_errors_are_shown_by_how_like_the_nearest_is(make_dataset: Make) -> None:
    table, _ = illustrated(make_dataset, near=True).tables
    assert [dict(row) for row in table.rows] == [
        {"nearest": "0 to 0.3", "cases": 2, "error": 0.75},
        {"nearest": "0.8 to 1", "cases": 2, "error": 3.0},
    ]


def test_atoms_are_coloured_in_the_order_in_which_they_were_read() -> None:
    whole = Drawing("CCO", "OCC", (1.0, 0.0, -1.0))
    plain, coloured, other = drawn([Drawing("CCO"), whole, replace(whole, weights=(1.0,))])
    assert plain is not None
    assert coloured is not None
    colours = [f"#{''.join(f'{part:02X}' for part in one)}".encode() for one in (RAISES, LOWERS)]
    assert all(one in coloured and one not in plain for one in colours)
    assert other == plain  # the weights are of another compound
