"""Annotation files: fields exact, the library reads what is written, damage is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
import wfdb as library
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.errors import DataError
from medray.formats.wfdb.annotations import SYMBOLS, Note, Notes, decode, encode, take

NOTES = st.lists(
    st.builds(
        Note,
        st.integers(1, 2**35),
        st.sampled_from(sorted({*SYMBOLS.values(), "[42]"} - {" "})),
        st.integers(-128, 127),
        st.integers(0, 255),
        st.integers(-128, 127),
        st.text("(Nµ a", max_size=20).map(str.strip),
    ),
    max_size=20,
).map(lambda notes: tuple(sorted(notes, key=lambda one: one.tick)))


@settings(max_examples=200, deadline=None)
@given(NOTES, st.sampled_from([None, 128.5]), st.sampled_from([(), ("42 X Crackle", "41 y")]))
def test_what_is_written_is_read(
    notes: tuple[Note, ...], resolution: float | None, definitions: tuple[str, ...]
) -> None:
    symbols = {"[42]": "X", "r": "y"} if definitions else {}
    notes = tuple(one._replace(symbol=symbols.get(one.symbol, one.symbol)) for one in notes)
    terminated = any(one.text for one in notes) and not (resolution or definitions)
    made = Notes(notes, resolution, definitions, terminated)
    assert decode(encode(made)) == made


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    notes = (
        Note(5, "+", text="(AFIB"), Note(1028, "N", channel=1), Note(1029, "V", -1, 1, 3),
        Note(2**33, "~", 2, 0, 3, "odd"), Note(2**33, "N", 0, 0, 3),
    )  # fmt: skip
    (tmp_path / "a.atr").write_bytes(encode(Notes(notes)))
    theirs = library.rdann(str(tmp_path / "a"), "atr")
    fields = zip(theirs.sample, theirs.symbol, theirs.subtype, theirs.chan, theirs.num,
                 theirs.aux_note, strict=True)  # fmt: skip
    assert [tuple(one) for one in fields] == [tuple(one) for one in notes]


def test_real_files_are_read_as_by_the_library_and_written_bit_for_bit(data_dir: Path) -> None:
    files = sorted((data_dir / "biosignal").glob("*/*.atr"))
    files += sorted((data_dir / "biosignal").glob("*/*.qrs"))
    assert len(files) == 7
    for path in files:
        data = path.read_bytes()
        found = decode(data)
        theirs = library.rdann(str(path.with_suffix("")), path.suffix[1:])
        assert [one.tick for one in found.notes] == theirs.sample.tolist()
        assert [one.symbol for one in found.notes] == theirs.symbol
        assert [one.subtype for one in found.notes] == theirs.subtype.tolist()
        assert [one.channel for one in found.notes] == theirs.chan.tolist()
        assert [one.number for one in found.notes] == theirs.num.tolist()
        assert [one.text for one in found.notes] == [aux.rstrip("\0") for aux in theirs.aux_note]
        assert encode(found) == data


def test_a_file_says_its_resolution_and_symbols_of_its_own() -> None:
    found = Notes((Note(7, "X"), Note(8, "[43]")), 1000.0, ("42 X Crackle",))
    data = encode(found)
    assert b"## time resolution: 1000" in data
    assert b"## annotation type definitions" in data
    assert decode(data) == found


def test_definitions_without_an_end_are_comments() -> None:
    lines = ("## annotation type definitions", "42 X Crackle")
    found = decode(encode(Notes(tuple(Note(0, '"', text=line) for line in lines))))
    assert [one.text for one in found.notes] == list(lines)


def word_by_word(words: list[int]) -> list[list[int]] | None:
    """Tick, code, subtype, channel, number of each annotation; None of what is no such file."""
    found: list[list[int]] = []
    tick = channel = number = at = 0
    while at < len(words):
        code, low = words[at] >> 10, words[at] & 1023
        signed = (low & 255) - (256 if low & 128 else 0)
        at += 1
        if words[at - 1] == 0:
            return None if any(words[at:]) else found
        if code <= 49:
            tick += low
            if tick < 0:
                return None
            found.append([tick, code, 0, channel, number])
        elif code == 59 and at + 2 <= len(words):
            far = words[at] << 16 | words[at + 1]
            tick += far - (2**32 if far >= 2**31 else 0)
            at += 2
        elif code < 60 or not found:
            return None
        elif code == 61:
            found[-1][2] = signed
        elif code == 62:
            found[-1][3] = channel = low & 255
        elif code == 60:
            found[-1][4] = number = signed
        else:
            at += (low + 1) // 2
    return None


def word(codes: st.SearchStrategy[int], low: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    return st.builds(lambda code, low: code << 10 | low, codes, low)


WORDS = st.lists(
    st.one_of(
        word(st.sampled_from([1, 5, 42, 49]), st.integers(0, 1023)),
        word(st.sampled_from([60, 61, 62]), st.integers(0, 1023)),
        word(st.sampled_from([59, 63]), st.integers(0, 5)),
        word(st.integers(0, 63), st.integers(0, 1023)),
        st.sampled_from([0, 0xFFFF]),
    ),
    max_size=14,
)


@settings(max_examples=500, deadline=None)
@given(WORDS, st.integers(0, 2))
def test_columns_are_those_of_words_taken_one_by_one(words: list[int], ends: int) -> None:
    words = [*words, *[0] * ends]
    data, wanted = np.array(words, "<u2").tobytes(), word_by_word(words)
    if wanted is None:
        with pytest.raises(DataError, match="bad-annotations"):
            take(data)
        return
    found = take(data)
    columns = (found.ticks, found.codes, found.subtypes, found.channels, found.numbers)
    assert np.array(columns, np.int64).T.tolist() == wanted


@pytest.mark.parametrize(
    "data",
    ["", "00", "0104", "01040000ff", "0104000001040000", "00f40000", "00ec0100", "00d80000",
     "00ecfffffeff01040000", "0efc28000000"],
)  # fmt: skip
def test_damage_is_refused(data: str) -> None:
    with pytest.raises(DataError, match="bad-annotations"):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize("texts", [b"", b"\0\1", b"\0\x1c(AFIB\0"])
def test_the_aha_form_is_refused_by_its_name(texts: bytes) -> None:
    beats = [(b"N", 77), (b"V", 370), (b"[", 70_000), (b"]", 2**17 + 5)]
    data = b"".join(
        b"\0" + letter + struct.pack("<3H", at >> 16, at & 0xFFFF, number) + texts.ljust(8, b"\0")
        for number, (letter, at) in enumerate(beats)
    )
    with pytest.raises(DataError, match="aha-annotations") as refused:
        decode(data)
    assert "a2m" in refused.value.hint
    with pytest.raises(DataError, match="bad-annotations"):
        decode(data[:-2])


@pytest.mark.parametrize(
    "note", [Note(1, "x?"), Note(1, "N", 128), Note(1, "N", 0, 256), Note(1, "N", number=-129),
             Note(-1, "N"), Note(0, " "), Note(1, "N", text="a" * 1024), Note(1, "[50]")],
)  # fmt: skip
def test_what_has_no_place_in_such_a_file_is_not_written(note: Note) -> None:
    with pytest.raises(DataError, match="unwritable-annotation"):
        encode(Notes((note,)))
