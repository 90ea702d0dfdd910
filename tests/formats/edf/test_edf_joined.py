"""A night and its stages of sleep, files of their own, as one recording."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.edf import Edf
from medray.storage.shards.samples import Sample
from tests.formats.edf.made import File, Lead, clocked, noise

JOIN = r"(SC\d{4}[A-Z])"
STAGES = {0: b"+0\x1530\x14Sleep stage W\x14\0+30\x1530\x14Sleep stage 1\x14\0"}


def form(**options: Any) -> Edf:
    return Edf(Edf.Options.model_validate({"deidentify": {"method": "none"}, **options}))


def read(root: Path, **options: Any) -> tuple[list[Sample], list[str]]:
    made, source = form(join=JOIN, **options), Source(root)
    found = made.plan(source)
    samples = [one for group in found.groups for item in group for one in made.read(source, item)]
    assert all(isinstance(one, Sample) for one in samples)
    return samples, [one.code for one in found.refused]  # type: ignore[return-value]


def night(root: Path, name: str, **fields: Any) -> None:
    (root / f"{name}-PSG.edf").write_bytes(File([Lead(noise(60, 4))], fields=fields).bytes())


def stages(root: Path, name: str, **fields: Any) -> None:
    fields = {"duration": "0", **fields}
    told = clocked(["+0"], STAGES)
    (root / f"{name}-Hypnogram.edf").write_bytes(File([], told, fields=fields).bytes())


def test_stages_become_annotations_of_their_night(tmp_path: Path) -> None:
    night(tmp_path, "SC4001E0")
    stages(tmp_path, "SC4001EC", time="16.13.15")  # ten seconds later
    night(tmp_path, "SC4002E0")
    (first, second), refused = read(tmp_path)
    assert refused == []
    assert (first.id, second.id) == ("SC4001E0-PSG", "SC4002E0-PSG")
    told = [(n["onset_s"], n["duration_s"], n["text"]) for n in first.row["annotations"]]
    assert told == [(10, 30, "Sleep stage W"), (40, 30, "Sleep stage 1")]
    assert first.row["duration_s"] == 60
    assert list(first.arrays) == ["signal_4"]
    assert not second.row["annotations"]


def test_a_change_of_either_file_changes_the_input(tmp_path: Path) -> None:
    night(tmp_path, "SC4001E0")
    stages(tmp_path, "SC4001EC")
    ((item,),) = form(join=JOIN).plan(Source(tmp_path)).groups
    assert list(form().files(item)) == ["SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf"]
    stages(tmp_path, "SC4001EC", time="16.13.06")
    ((other,),) = form(join=JOIN).plan(Source(tmp_path)).groups
    assert item.fingerprint != other.fingerprint
    assert len(form().plan(Source(tmp_path)).groups[0]) == 2  # who does not ask has two


def test_whose_stages_they_are_must_be_clear(tmp_path: Path) -> None:
    night(tmp_path, "SC4001E0")
    night(tmp_path, "SC4001E1")
    stages(tmp_path, "SC4001EC")
    samples, refused = read(tmp_path)
    assert [one.id for one in samples] == ["SC4001E0-PSG", "SC4001E1-PSG"]
    assert refused == ["unclear-recording"]


@pytest.mark.parametrize(
    ("fields", "options", "code"),
    [
        ({"patient": "MCH-1 F 02-MAY-1951 X"}, {}, "mixed-patients"),
        ({}, {"start": "ignore"}, "no-start"),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    fields: dict[str, Any], options: dict[str, Any], code: str, tmp_path: Path
) -> None:
    night(tmp_path, "SC4001E0", kind="EDF+C")
    stages(tmp_path, "SC4001EC", **fields)
    with pytest.raises(DataError, match=code):
        read(tmp_path, **options)


def test_a_pattern_needs_a_group() -> None:
    with pytest.raises(SpecError, match="bad-pattern"):
        form(join="SC")


def test_a_night_of_sleep_edf(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "biosignal" / "edf"
    shutil.copy(source / "short_psg.edf", tmp_path / "SC4001E0-PSG.edf")
    shutil.copy(source / "SC4001EC-Hypnogram.edf", tmp_path)
    (one,), _ = read(tmp_path)
    stages = [n["text"] for n in one.row["annotations"]]
    assert len(stages) == 154
    assert stages[0] == "Sleep stage W"
    assert np.diff([n["onset_s"] for n in one.row["annotations"]]).min() > 0
