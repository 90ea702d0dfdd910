"""A row that hangs or kills costs itself and one death, wherever it stands and beside what."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from medray.errors import FatalError
from medray.formats.molecules.guard import Guard
from medray.formats.molecules.parsed import Parsed
from medray.formats.smiles import Smiles

sys.path.insert(0, str(Path(__file__).parent))
FAULTY = "faulty:Faulty"  # a child looks where its parent does
NURSERY = "medray.formats.molecules.nursery"
OPTIONS = Smiles.Options().model_dump()
GOOD = ["CCO", "c1ccccc1", "CC(=O)O", "C1CC", "CCN"]


def guard(row_s: float = 0.8) -> Guard:
    return Guard(FAULTY, OPTIONS, row_s)


def batches(rows: Sequence[str], size: int = 50) -> Iterator[Sequence[str]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def outcome(parsed: Sequence[Parsed], size: int = 50) -> list[str]:
    """Of each row its canonical SMILES, or the code of its refusal."""
    rows: dict[int, str] = {}
    for number, one in enumerate(parsed):
        whole = dict(zip(one.taken, one.columns.get("canonical", []), strict=True))
        codes = {row: code for row, (code, _) in one.refused.items()}
        assert not whole.keys() & codes.keys()
        rows |= {number * size + row: str(told) for row, told in {**whole, **codes}.items()}
    return [rows[row] for row in range(len(rows))]


def expected(rows: Sequence[str]) -> list[str]:
    codes = {"hang": "timeout", "die": "reader-died", "slow": "CCO", "C1CC": "unreadable"}
    return [codes.get(row, row) for row in rows]


@pytest.mark.parametrize("place", [0, 1, 49, 50, 77, 199])
@pytest.mark.parametrize("fault", ["hang", "die"])
def test_a_bad_row_costs_itself_and_one_death(fault: str, place: int) -> None:
    rows = GOOD * 40
    rows[place] = fault
    made = guard()
    assert outcome(list(made.read(batches(rows)))) == expected(rows)
    assert made.deaths == 1


def test_bad_rows_side_by_side_are_each_one_death_and_slow_ones_are_kept() -> None:
    rows = GOOD * 40
    for place, fault in {3: "die", 4: "hang", 5: "die", 60: "slow", 61: "hang"}.items():
        rows[place] = fault
    made = guard()
    parsed = list(made.read(batches(rows)))
    assert outcome(parsed) == expected(rows)
    assert made.deaths == 4
    whole = list(Guard(FAULTY, OPTIONS, 5).read(batches([row for row in rows if row in GOOD])))
    for name in ("atoms", "bonds", "bond_features"):
        count = sum(len(one.arrays[name].lengths) for one in parsed)
        assert count == sum(len(one.taken) for one in parsed)
        assert {one.arrays[name].values.dtype for one in [*parsed, *whole]} == {
            whole[0].arrays[name].values.dtype
        }
    first = parsed[0]
    atoms = np.split(first.arrays["atoms"].values, np.cumsum(first.arrays["atoms"].lengths)[:-1])
    sizes = {"CCO": 3, "c1ccccc1": 6, "CC(=O)O": 4, "CCN": 3}
    assert [len(one) for one in atoms] == [sizes[text] for text in first.columns["canonical"]]


def test_rows_behind_one_that_hangs_do_not_wait_for_its_deadline() -> None:
    rows = ["CCO"] * 1000
    rows[3] = "hang"
    asked: list[float] = []

    def told() -> Iterator[Sequence[str]]:
        for batch in batches(rows):
            asked.append(time.monotonic())
            yield batch

    assert outcome(list(guard(row_s=15).read(told()))) == expected(rows)
    assert asked[-1] - asked[0] < 10  # all others were asked for long before the row was given up


def test_a_reader_that_always_dies_ends_the_run() -> None:
    dead = Guard("faulty:Dead", OPTIONS, 5)
    with pytest.raises(FatalError) as caught:
        list(dead.read([["CCO"]]))
    assert caught.value.code == "reader-dies"


def test_who_began_later_stands_behind_until_the_first_has_ended() -> None:
    first, second = guard().read(batches(GOOD * 40)), guard().read(batches(["die", *GOOD] * 20))
    next(first)
    next(second)
    assert sorted(niceness()) == [0, 5]
    list(first)
    next(second)  # by a child that was born since, after a death
    assert niceness() == [0]
    list(second)


def niceness() -> list[int]:
    """Of the children of this process's nursery, above its own."""
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    (parent,) = [one for one in psutil.Process().children() if NURSERY in " ".join(one.cmdline())]
    return [os.getpriority(os.PRIO_PROCESS, one.pid) - mine for one in parent.children()]
