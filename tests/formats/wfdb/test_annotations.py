"""Annotation files: fields exact, the library reads what is written, damage is refused."""

from pathlib import Path

import pytest
import wfdb as library
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.errors import DataError
from medray.formats.wfdb.annotations import SYMBOLS, Note, Notes, decode, encode

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


@pytest.mark.parametrize(
    "data",
    ["", "00", "0104", "01040000ff", "0104000001040000", "00f40000", "00ec0100", "00d80000",
     "00ecfffffeff01040000", "0efc28000000"],
)  # fmt: skip
def test_damage_is_refused(data: str) -> None:
    with pytest.raises(DataError, match="bad-annotations"):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    "note", [Note(1, "x?"), Note(1, "N", 128), Note(1, "N", 0, 256), Note(1, "N", number=-129),
             Note(-1, "N"), Note(0, " "), Note(1, "N", text="a" * 1024), Note(1, "[50]")],
)  # fmt: skip
def test_what_has_no_place_in_such_a_file_is_not_written(note: Note) -> None:
    with pytest.raises(DataError, match="unwritable-annotation"):
        encode(Notes((note,)))
