"""Numbers of tables as laboratories and spreadsheets write them: read right, or told to be lost."""

from pathlib import Path
from typing import Any

import pytest

from tests.events import Read

TABLE: dict[str, Any] = {
    "subject": "who",
    "events": [{"code": "LAB//crp", "time": "static", "number": "crp"}],
}


def read(root: Path, cells: list[str], **mapping: Any) -> list[tuple[float | None, str]]:
    rows = "".join(f"p{at};{cell}\n" for at, cell in enumerate(cells))
    (root / "lab.csv").write_text(f"who;crp\n{rows}")
    found = Read(
        "ehr", root, mapping={"tables": {"lab": TABLE}, **mapping}, deidentify={"method": "none"}
    )
    assert found.refused == []
    each = [found.events[f"p{at}"] for at in range(len(cells))]
    return [(one["value"], one["number"]) for (one,) in each]


def test_a_decimal_comma_is_no_separator_of_thousands(tmp_path: Path) -> None:
    cells = ["1,5", "12", "2.000", "2.000,5", "<0,5", "1.5", "0,1"]
    assert read(tmp_path, cells, decimal=",") == [
        (1.5, ""), (12, ""), (None, "2,000"), (None, "2,000.5"), (None, "<0.5"), (None, "1,5"),
        (0.1, "0.1"),
    ]  # fmt: skip


def test_values_stand_for_cells_as_the_table_has_them(tmp_path: Path) -> None:
    table = {**TABLE, "events": [{**TABLE["events"][0], "values": {"<0,5": 0.25}}]}
    assert read(tmp_path, ["<0,5", "1,5"], decimal=",", tables={"lab": table}) == [
        (0.25, ""), (1.5, ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "cell",
    ["1,234", "1 234", "1,234,567.5", "<1,000", "≤5", ">=1,5", "1,5-2,5", "1:1,280", "3'000"],
)
def test_what_reads_in_two_ways_stays_as_text(cell: str, tmp_path: Path) -> None:
    assert read(tmp_path, [cell]) == [(None, cell)]


@pytest.mark.parametrize("cell", ["negative", "Dr. 5", "5 Smith", "1e999", "1_0", "0x10", "5+"])
def test_other_words_are_left_out(cell: str, tmp_path: Path) -> None:
    assert read(tmp_path, [cell]) == [(None, "")]


def test_cells_without_a_number_are_counted(tmp_path: Path) -> None:
    (tmp_path / "lab.csv").write_text("who;crp\np;1\np;1,5\nq;negative\nq;\n")
    found = Read("ehr", tmp_path, mapping={"tables": {"lab": TABLE}}, deidentify={"method": "none"})
    assert found.told == {"lab": [4, 3, {"no number": 1, "number not read": 2}]}
