"""Headers: defaults of what is left out, and refusals of what is none."""

import datetime

import pytest

from medray.errors import DataError
from medray.formats.wfdb.header import Header, Part, Signal, parse


def test_all_fields() -> None:
    found = parse(
        b"#early\r\n x_1-a 2 62.4725/999.56(-12.5) 14400 9:05:07.25 3/2/1994\r\n\r\n"
        b"a.dat 212x4:3+512 1.5e2(-30)/uV 12 7 -995 -22131 512 II, a b \r\n# more\r\n"
        b"a.dat 212\r\n#info"
    )
    start = datetime.datetime(1994, 2, 3, 9, 5, 7, 250000)  # noqa: DTZ001
    first = Signal("a.dat", 212, 4, 3, 512, 150, -30, True, "uV", 12, 7, -995, -22131, 512,
                   "II, a b")  # fmt: skip
    assert found == Header(
        rate=62.4725, counter_rate=999.56, base_counter=-12.5, frames=14400, start=start,
        clock=32707.25, count=2, signals=(first, Signal("a.dat", 212)),
    )  # fmt: skip


def test_what_is_left_out_has_its_default() -> None:
    assert parse(b"a 1\na.dat 16").rate == 250
    (signal,) = parse(b"a 1 360\na.dat 16 0/NU 0 5").signals
    assert (signal.gain, signal.calibrated, signal.unit) == (200, False, "NU")
    assert (signal.baseline, signal.zero, signal.bits) == (5, 5, 0)
    assert (signal.initial, signal.checksum) == (None, None)
    assert parse(b"a 1 360 0\na.dat 16").frames is None
    assert parse(b"a 1 360 9 10:00:00\na.dat 16").start is None
    assert parse(b"a 1 360 9 10:00:00 00/00/0000\na.dat 16").start is None


def test_segments() -> None:
    found = parse(b"a/3 2 360 30 10:00:00 1/1/2000\na_layout 0\n~ 10\na_1 20\n")
    assert found.parts == (Part("a_layout", 0), Part("~", 10), Part("a_1", 20))
    assert found.layout
    assert not parse(b"a/1 2 360 30\na_1 30\n").layout


@pytest.mark.parametrize(
    "text",
    ["", "#only", "a", "a x", "a 2\na.dat 16", "a 1 0\na.dat 16", "a 1 nan\na.dat 16",
     "a 1 1e999\na.dat 16", "a 1 360 -5\na.dat 16", "a 1 360 9999999999999999\na.dat 16",
     "a 1 360 9 10:00\na", "a 1 360 9 ten 1/1/2000\na.dat 16", "a 1 360\na.dat",
     "a 1 360\na.dat 16x", "a 1 360\na.dat 16 1e400", "a 1 360\na.dat 16 200 1.5",
     "a 1 360\na.dat 16 200 99999999999999999999", "a/0 1 360\n", "a/2 1\na_1 5", "a/1 1\na_1",
     "a 99999999\n", "a 1 360\na.dat 16x70000", "a\0 1\na.dat 16", "a 1 360/x\na.dat 16"],
)  # fmt: skip
def test_what_is_no_header_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="bad-header"):
        parse(text.encode())


@pytest.mark.parametrize("name", ["../a.dat", "/etc/passwd", "a/b.dat", "..", ".a", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    for text in (f"a 1\n{name} 16", f"a/1 1\n{name} 10"):
        with pytest.raises(DataError, match="unsafe-path"):
            parse(text.encode())
