"""Stretches as notes: every change of rhythm, and what is no rhythm where it begins and ends."""

from pathlib import Path
from typing import Any

import pytest
import wfdb

from medray.formats.edf import Edf
from medray.formats.signal.recording import Annotation, Channel, placed, row_of
from medray.formats.signal.rhythms import stretches_of
from medray.formats.wfdb.stretches import Rhythms, Stretch
from medray.storage.shards.samples import Sample
from tests.formats.wfdb import records
from tests.parts import library


def told(*stretches: tuple[int, int, str], end: int | None = 100, **options: Any) -> list[Any]:
    notes = Rhythms(**options).notes([Stretch(*one) for one in stretches], end)
    return sorted((one.tick, one.symbol, one.text) for one in notes)


@pytest.mark.parametrize(
    ("stretches", "notes"),
    [
        ([], []),
        ([(0, 100, "(AFIB")], [(0, "+", "(AFIB")]),
        ([(10, 20, "AFIB")], [(0, "+", "(N"), (10, "+", "(AFIB"), (20, "+", "(N")]),
        # One after another, of which the first two are one.
        (
            [(0, 30, "AFIB"), (30, 50, "AFIB"), (50, 60, "VT")],
            [(0, "+", "(AFIB"), (50, "+", "(VT"), (60, "+", "(N")],
        ),
        # One within another, and behind it the outer one goes on.
        (
            [(0, 80, "AFIB"), (20, 30, "VT")],
            [(0, "+", "(AFIB"), (20, "+", "(VT"), (30, "+", "(AFIB"), (80, "+", "(N")],
        ),
        # One begins in another and lasts longer.
        (
            [(0, 40, "AFIB"), (20, 60, "VT")],
            [(0, "+", "(AFIB"), (20, "+", "(VT"), (60, "+", "(N")],
        ),
        ([(5, 9, "P"), (7, 7, "sleep")], [(5, '"', "(P"), (7, '"', "sleep"), (9, '"', "P)")]),
        ([(5, 5, "AFIB")], []),
    ],
)
def test_changes(stretches: list[tuple[int, int, str]], notes: list[Any]) -> None:
    assert told(*stretches) == notes


def test_a_job_may_say_what_is_a_rhythm() -> None:
    codes = {"T": "(T", "VT": "", "fast": "(SVTA"}
    stretches = (0, 4, "T"), (6, 8, "VT"), (90, 99, "fast")
    assert told(*stretches, end=99, codes=codes, otherwise="(S") == [
        (0, "+", "(T"), (4, "+", "(S"), (6, '"', "(VT"), (8, '"', "VT)"), (90, "+", "(SVTA"),
    ]  # fmt: skip


def predicted(*stretches: tuple[int, int, str], rate: float = 360.0) -> Sample:
    """What a model says of a recording, in samples."""
    annotations = [
        Annotation("rhythm-net", start / rate, (stop - start) / rate, text, sample=start)
        for start, stop, text in stretches
    ]
    channels = placed([Channel("MLII", "mV", rate, 200, 1024)])
    row = row_of(
        channels, record="r", subject="r", duration_s=650000 / rate, annotations=annotations
    )
    return Sample("r", {**row, "frame_rate": 360.0}, {})


PLACES = ((16689, 17156, "VT"), (17156, 33033, "AFIB"), (400001, 650000, "noisy"))


@pytest.mark.parametrize("rate", [360.0, 1440.0])
def test_another_library_reads_the_same_samples(tmp_path: Path, rate: float) -> None:
    scale = int(rate / 360)
    sample = predicted(*((scale * a, scale * b, text) for a, b, text in PLACES), rate=rate)
    sample.row["duration_s"] = 650000 / 360
    list(records.wfdb().write([sample], tmp_path))
    theirs = wfdb.rdann(str(tmp_path / "r" / "r"), "med")
    notes = zip(theirs.sample.tolist(), theirs.symbol, theirs.aux_note, strict=True)
    assert list(notes) == [
        (0, "+", "(N"), (16689, "+", "(VT"), (17156, "+", "(AFIB"), (33033, "+", "(N"),
        (400001, '"', "(noisy"), (650000, '"', "noisy)"),
    ]  # fmt: skip


def test_a_recording_in_which_nothing_was_found_has_an_empty_file(tmp_path: Path) -> None:
    list(records.wfdb().write([predicted()], tmp_path))
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["r.med"]
    assert wfdb.rdann(str(tmp_path / "r" / "r"), "med").sample.tolist() == []


def test_edf_has_text_and_duration_as_they_are(tmp_path: Path) -> None:
    sample = predicted(*PLACES)
    edf = Edf(Edf.Options())
    edf.ready_to_write()  # by a site's key: none is asked for
    (path,) = edf.write([sample], tmp_path)
    theirs = [
        (round(one.onset * 360), round((one.onset + one.duration) * 360), one.text)
        for one in library("edfio").read_edf(path).annotations
        if one.duration is not None
    ]
    assert tuple(theirs) == PLACES
    spans = [(round(a * 360), round(b * 360), text) for a, b, text in stretches_of(sample.row)]
    assert tuple(spans) == PLACES
