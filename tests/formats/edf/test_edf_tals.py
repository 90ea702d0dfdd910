"""Times of data records: read by columns as they are one by one."""

import re
from decimal import Decimal

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medray.formats.edf.tals import PLACES, Told, clocks, stretches

ALONE = re.compile(rb"[+-](\d{1,12})(?:[.,](\d*))?\x14\x14\0*")
LETTERS = st.sampled_from(
    [b"+", b"-", b".", b",", b"0", b"7", b"15", b"\x14", b"\x15", b"\0", b"a"]
)
CLOCKS = st.from_regex(rb"\A[+-][0-9]{1,12}([.,][0-9]{0,10})?\x14\x14\Z")
FIELDS = st.one_of(CLOCKS, st.lists(LETTERS, max_size=14).map(b"".join))
WIDTH = 40


def cells(fields: list[bytes]) -> np.ndarray:
    padded = b"".join(one.ljust(WIDTH, b"\0") for one in fields)
    return np.frombuffer(padded, np.uint8).reshape(len(fields), WIDTH)


@settings(max_examples=300, deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=8))
@example([b"+1\x14\x14", b"-0.5\x14\x14", b"+,5\x14\x14", b"+1\x14", b"+1.5.5\x14\x14"])
@example([b"+" + b"9" * 38 + b"\x14", b"+9999999999.12345678\x14\x14", b""])
def test_times_are_exact_or_left_to_be_read_one_by_one(fields: list[bytes]) -> None:
    ticks, alone = clocks(cells(fields))
    for field, tick, sure in zip(fields, ticks.tolist(), alone.tolist(), strict=True):
        told = ALONE.fullmatch(field.ljust(WIDTH, b"\0"))
        usual = told is not None and len(told[1]) <= 9 and len(told[2] or b"") <= PLACES
        assert sure >= usual
        if sure:
            assert told is not None
            text = field.partition(b"\x14")[0].decode().replace(",", ".")
            assert Decimal(text).scaleb(PLACES) == tick


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["0", "0", "0", "0.25", "-", "note"]), min_size=1, max_size=30),
    st.integers(1, 9),
    st.sampled_from(["0.5", "1", "0.333"]),
)
def test_runs_of_records_say_the_same_as_each(late: list[str], block: int, length: str) -> None:
    duration, now = Decimal(length), Decimal("3.5")
    fields, begins = [], []
    for one in late:
        now += Decimal(one) if one[0] == "0" else 0
        told = b"" if one == "-" else f"+{now}".encode() + b"\x14\x14"
        told += b"\0+1\x14hello\x14" if one == "note" else b""
        fields.append(told)
        begins.append(None if one == "-" else now)
        now += duration
    read = Told()
    for at in range(0, len(fields), block):
        read.take([cells(fields[at : at + block])], duration, "utf-8")
    assert read.records == len(fields)
    assert [text for _, _, text in read.notes] == ["hello"] * late.count("note")
    places = dict(read.begins)
    found: list[Decimal | None] = []
    for at in range(len(fields)):
        before = found[-1] if found else None
        found.append(places.get(at, None if before is None else before + duration))
    assert found == begins
    if None not in begins:
        segments = stretches(read.begins, len(fields), duration, 0.01, gaps=True)
        wanted = [0, *(at for at, one in enumerate(late) if at and one == "0.25")]
        assert [round(one.duration_s / float(duration)) for one in segments] == np.diff(
            [*wanted, len(late)]
        ).tolist()
