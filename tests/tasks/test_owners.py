"""Records and subjects on a page: who is shown by itself, and which mistakes are looked at."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medray.tasks import build_task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.classification import score_classification, summarise_classification
from medray.tasks.owners import by_owner, mistakes, owners, spread
from medray.tasks.section import Figure, ScoredCases

CLASSES = ["N", "S", "V"]


def cases_of(told: str, **more: Any) -> list[dict[str, Any]]:
    """Beats as "N>V", truth and call, by record: "101 N>N N>V; 102 V>V"."""
    made = []
    for record in told.split("; "):
        name, *pairs = record.split()
        for pair in pairs:
            truth, call = (CLASSES.index(one) for one in pair.split(">"))
            answer = np.where(np.arange(3) == call, 0.9 - 0.001 * len(made), 0.05)
            (row,) = score_classification(answer[None], np.array([truth]), CLASSES)
            made.append({"case": f"b{len(made)}", "record": name, "subject": f"p{name}", **row})
    return [row | more for row in made]


TOLD = "101 N>N N>N N>V; 20 V>V V>N N>N N>N; 102 N>N V>V"


def test_a_row_of_each_record_the_least_accurate_first() -> None:
    (table,) = by_owner(cases_of(TOLD), CLASSES)
    assert table.title == "By record"
    assert [metric.label for metric in table.columns.values()] == [
        "record", "cases", "accuracy", "N: Se / +P (n)", "V: Se / +P (n)",
    ]  # fmt: skip
    assert [(row["record"], row["cases"]) for row in table.rows] == [
        ("101", 3), ("20", 4), ("102", 2),
    ]  # fmt: skip
    first, second, _ = table.rows
    assert first["accuracy"] == pytest.approx(2 / 3)
    assert first["0"] == "0.667 / 1.000 (3)"
    assert first["2"] == "\N{EN DASH} / 0.000 (0)"
    assert (second["0"], second["2"]) == ("1.000 / 0.667 (2)", "0.500 / 1.000 (2)")
    assert table.foot is not None
    assert (table.foot["cases"], table.foot["2"]) == (9, "0.667 / 0.667 (3)")
    assert table.foot["accuracy"] == pytest.approx(7 / 9)


def test_subjects_stand_beside_records_where_two_are_of_one() -> None:
    cases = cases_of("101 N>N; 102 N>V; 20 V>V V>N")
    (table,) = by_owner([row | {"subject": f"p{row['record'][0]}"} for row in cases], CLASSES)
    assert {row["record"]: row["subject"] for row in table.rows} == {
        "101": "p1", "102": "p1", "20": "p2",
    }  # fmt: skip
    assert table.foot is not None
    assert table.foot["subject"] == ""


def test_folds_have_a_table_where_there_are_two() -> None:
    folds = {"101": 0, "20": 1, "102": 0}
    cases = [row | {"fold": folds[row["record"]]} for row in cases_of(TOLD)]
    records, table = by_owner(cases, CLASSES)
    assert (records.title, table.title) == ("By record", "By fold")
    assert [metric.label for metric in table.columns.values()][:4] == [
        "fold", "subjects", "cases", "accuracy",
    ]  # fmt: skip
    assert [(row["fold"], row["subjects"], row["cases"]) for row in table.rows] == [
        ("1", 1, 4), ("0", 2, 5),
    ]  # fmt: skip
    assert table.rows[0]["2"] == "0.500 / 1.000 (2)"
    assert table.foot is not None
    assert (table.foot["subjects"], table.foot["cases"]) == (3, 9)
    alone = by_owner([row | {"fold": 0} for row in cases], CLASSES)
    assert [one.title for one in alone] == ["By record"]


def test_cases_that_share_nothing_have_no_table() -> None:
    alone = [{**row, "record": row["case"], "subject": None} for row in cases_of(TOLD)]
    assert owners(alone, "record") == ""
    assert by_owner(alone, CLASSES) == []
    assert spread(alone, CLASSES) == []
    several = [{**row, "subject": "p"} for row in alone]
    assert owners(several, "record") == "subject"
    (table,) = by_owner(several, CLASSES)
    assert "subject" in table.columns


def test_how_subjects_differ_is_sorted_and_named() -> None:
    """Of a class only subjects with five cases of it are drawn, and only if five are."""
    told = "; ".join(
        f"{at} " + " ".join(["N>N"] * 9 + ["V>V"] * at + ["V>N"] * (5 - at)) for at in range(5)
    )
    (figure,) = spread(cases_of(told + "; 9 N>N V>V"), CLASSES)
    assert figure.title == "How subjects differ"
    series = figure.data["series"]
    assert list(series) == [
        "accuracy: n 6, median 0.821, worst 0.643 (p0)",
    ]
    told += "; 5 " + " ".join(["V>V"] * 5 + ["N>V"] * 5)
    more = "; ".join(f"{at} " + " ".join(["V>V"] * 5) for at in (6, 7, 8, 10))
    (figure,) = spread(cases_of(f"{told}; {more}"), CLASSES)
    named = [name.partition(":")[0] for name in figure.data["series"]]
    assert named == ["accuracy", "V sensitivity", "V +P"]
    sensitivity = next(name for name in figure.data["series"] if "sens" in name)
    assert sensitivity == "V sensitivity: n 10, median 0.900, worst 0.000 (p0)"
    assert figure.data["series"][sensitivity] == [0.0, 0.2, 0.4, 0.6, 0.8] + 5 * [1.0]


def test_mistakes_come_first_of_each_class_in_turn() -> None:
    cases = cases_of("1 N>V N>V N>V; 2 N>V; 4 V>N; 3 V>V S>S")
    lost = {**cases[0], "case": "lost", "status": "no-prediction", "error": 1.0}
    found = [row["case"] for row in mistakes([*cases, lost], 6)]
    # Of N the surest mistake, of V, of N that of another subject, then N again, then what is right.
    assert found[:4] == ["b0", "b4", "b3", "b1"]
    assert found[4] == "b2"
    assert found[5] in ("b5", "b6")


def test_the_page_of_a_classification_has_them() -> None:
    cases = cases_of(TOLD)
    summary = summarise_classification(pa.Table.from_pylist(cases), CLASSES, Bootstrap(repeats=0))
    task = build_task({"name": "classification", "classes": CLASSES})
    section = task.section(ScoredCases("beats", summary, cases))
    assert [table.title for table in section.tables] == ["", "By record"]
    roc = section.figures[0]
    assert isinstance(roc, Figure)
    assert list(roc.data["curves"]) == ["N", "V"]  # nobody has S
    (picture,) = section.pictures
    assert [said.partition(",")[0] for _, said in picture.cases][:2] == ["N called V", "V called N"]
    assert "precision" in section.tables[0].columns
    found = task.verdict({"target": "V"}, {"predicted": "N"})
    assert found is not None
    assert (found.truth, found.answer, found.wrong) == ("V", "N", True)
    assert task.verdict({"target": "?"}, None) is None
