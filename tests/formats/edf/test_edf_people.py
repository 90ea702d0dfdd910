"""Nobody's name or date leaves an EDF file: not to storage, not to the quarantine."""

import json
from pathlib import Path

import pytest

from medray.formats.base import Source
from medray.formats.edf import Edf
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.formats.edf.made import File, Lead, clocked, noise

CANARIES = ("CANARY", "Haagse", "MCH-0234567", "1951", "2002", "EMG561", "BK/JOP", "NAMED", "Sony")


def source(root: Path) -> Source:
    told = clocked(["+0", "+1"], {0: b"+1\x14Sleep stage W\x14\0+1\x14NAMED woke\x14\0"})
    lead = Lead(noise(2, 50), transducer="of NAMED", prefilter="by NAMED")
    folder = root / "CANARY^NAME"
    folder.mkdir(parents=True)
    (folder / "CANARY.edf").write_bytes(File([lead], told).bytes())
    (folder / "CANARY-cut.edf").write_bytes(File([lead], told).bytes()[:-1])
    (folder / "CANARY.txt").write_text("CANARY")
    return Source(root)


def test_canaries_stay_in_their_files(
    tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    here = source(tmp_path / "raw")
    form = Edf(Edf.Options(subject="patient", texts=("Sleep stage W",)))
    plan = form.plan(here)
    writer = ShardWriter(objects, "one", plan.arrays)
    shown = []
    for group in plan.groups:
        for item in group:
            shown += [item.key, json.dumps(item.extra), *form.shown(item)]
            for sample in form.read(here, item):
                writer.add(sample)  # type: ignore[arg-type]
                texts = [one["text"] for one in sample.row["annotations"]]  # type: ignore[union-attr]
                assert texts == ["Sleep stage W", ""]
    writer.finish()
    assert {one.code for one in plan.refused} == {"truncated-edf", "other-kind"}
    shown += [str(one) for one in plan.refused]
    kept = [objects.get(entry.path) for entry in objects.walk()]
    assert kept
    for canary in CANARIES:
        assert not [text for text in shown if canary in text]
        assert not [data for data in kept if canary.encode() in data]


def test_a_subject_is_one_and_days_are_shifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    for number, date in enumerate(("02.03.02", "05.03.02")):
        fields = {"date": date}
        file = File([Lead(noise(1, 5))], fields=fields)
        (tmp_path / f"{number}.edf").write_bytes(file.bytes())
    form = Edf(Edf.Options(subject="patient"))
    items = [item for group in form.plan(Source(tmp_path)).groups for item in group]
    rows = [one.row for item in items for one in form.read(Source(tmp_path), item)]  # type: ignore[union-attr]
    assert len({row["subject"] for row in rows}) == 1
    days = sorted(row["start_time"] for row in rows)
    assert days[0][10:] == days[1][10:] == "T16:13:05"
    assert not {day[:10] for day in days} & {"2002-03-02", "2002-03-05"}
    assert int(days[1][8:10]) - int(days[0][8:10]) in (3, 3 - 28, 3 - 29, 3 - 30, 3 - 31)
