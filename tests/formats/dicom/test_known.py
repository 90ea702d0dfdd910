"""A plan that goes on from the last one is the plan that is made anew, whatever has changed."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medray.formats.base import Found, Source
from medray.formats.dicom import Dicom, known, tree
from medray.steps.ingest.plan import plan_ingest


class Kept:
    """Bytes in memory."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def load(self) -> bytes | None:
        return self.data

    def keep(self, data: bytes) -> None:
        self.data = data


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files whose headers are read."""
    seen: list[str] = []
    real = tree._look

    def counted(source: Source, path: str, *rest: Any) -> Any:
        seen.append(path)
        return real(source, path, *rest)

    monkeypatch.setattr(tree, "_look", counted)
    return seen


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Found, Found]]:
    """The plan that goes on from the last one, and the one that is made anew."""
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    kept = Kept()

    def plan(memory: Kept = kept, **options: Any) -> tuple[Found, Found]:
        made = Dicom(Dicom.Options.model_validate(options))
        source = Source(tmp_path / "source", memory=memory)
        return made.plan(source), made.plan(replace(source, memory=None))

    plan.kept = kept  # type: ignore[attr-defined]
    return plan


def ids(plan: Found) -> tuple[list[str], list[tuple[str, ...]]]:
    refused = sorted((one.source, one.code, one.path, str(one.files)) for one in plan.refused)
    units = plan_ingest(
        replace(plan, groups=[[*group] for group in plan.groups]), name="dicom", identity={}
    )
    stamps = [str([*unit.payload["stamps"]]) for unit in units.units]
    return [unit.id for unit in units.units] + stamps, refused


def other(number: int) -> Callable[[Any, int], None]:
    def change(data: Any, index: int) -> None:
        data.SeriesInstanceUID = f"1.2.3.{number}"
        data.SOPInstanceUID = f"1.2.3.{number}.{index}"

    return change


@pytest.fixture
def source(write_series: Callable[..., None], tmp_path: Path) -> Path:
    for number in range(6):
        write_series(4, folder=f"DOE{number}", change=other(number))
    write_series(2, folder="short", change=other(7))
    write_series(1, folder="sr", change=other(8), Modality="SR")
    root = tmp_path / "source"
    (root / "README").write_text("no image")
    shutil.copy(root / "DOE1" / "IM001", root / "DOE1" / "copy")
    return root


def test_nothing_is_read_of_what_is_as_it_was(source: Path, planned: Any, scans: list[str]) -> None:
    first, anew = planned()
    assert ids(first) == ids(anew)
    scans.clear()
    made = Dicom(Dicom.Options())
    again = made.plan(Source(source, memory=planned.kept))
    assert scans == []
    assert ids(again) == ids(anew)
    assert [i.extra for g in again.groups for i in g] == [i.extra for g in anew.groups for i in g]
    assert len([i for g in again.groups for i in g]) == 6
    # Another key, other options: nothing is known.
    for options in ({"select": {"min_slices": 2}}, {"deidentify": {"method": "none"}}):
        scans.clear()
        Dicom(Dicom.Options.model_validate(options)).plan(Source(source, memory=planned.kept))
        assert len(scans) == 29
    # Contents are asked for: nothing is believed.
    scans.clear()
    made.plan(Source(source, memory=planned.kept, by_content=True))
    assert len(scans) == 29


def test_a_folder_that_is_as_it_was_is_one_question(
    source: Path, planned: Any, write_series: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned()
    asked = []
    real = known.Known._hash

    def counted(self: Any, *parts: Any) -> int:
        asked.append(parts)
        return real(self, *parts)

    monkeypatch.setattr(known.Known, "_hash", counted)
    planned()
    folders = sum(path.is_dir() for path in source.rglob("*")) + 1
    assert len(asked) == folders
    asked.clear()
    write_series(4, folder="new", change=other(40))
    made, anew = planned()
    assert len(asked) == folders + 1 + 4
    assert ids(made) == ids(anew)


def slice_added(source: Path, write_series: Any) -> None:
    write_series(5, folder="more", change=other(2))


def slice_gone(source: Path, write_series: Any) -> None:
    (source / "DOE3" / "IM002").unlink()


def slice_touched(source: Path, write_series: Any) -> None:
    os.utime(source / "DOE3" / "IM003", ns=(7, 7))


def series_added(source: Path, write_series: Any) -> None:
    write_series(4, folder="DOE3", change=other(30))


def renamed(source: Path, write_series: Any) -> None:
    (source / "DOE4").rename(source / "DOE9")


def damaged_beside(source: Path, write_series: Any) -> None:
    (source / "DOE2" / "broken.dcm").write_bytes(b"no image")


def linked_beside(source: Path, write_series: Any) -> None:
    (source / "DOE2" / "dead").symlink_to("nowhere")


def copied(source: Path, write_series: Any) -> None:
    shutil.copy(source / "DOE5" / "IM001", source / "sr" / "again")


def copy_gone(source: Path, write_series: Any) -> None:
    (source / "DOE1" / "copy").unlink()


def other_study(source: Path, write_series: Any) -> None:
    def change(data: Any, index: int) -> None:
        other(5)(data, index)
        data.StudyInstanceUID = "1.9.9"

    write_series(3, folder="study", change=change)


def swapped_content(source: Path, write_series: Any) -> None:
    data = (source / "DOE0" / "IM001").read_bytes()
    (source / "DOE4" / "IM001").write_bytes(data)


def put_back(source: Path, write_series: Any) -> None:
    """As it was to the second; only the time of its last change of status tells."""
    path = source / "DOE4" / "IM001"
    status = path.stat()
    path.write_bytes((source / "DOE0" / "IM001").read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def all_gone(source: Path, write_series: Any) -> None:
    for folder in ("DOE0", "DOE1", "DOE2", "DOE3", "DOE4"):
        shutil.rmtree(source / folder)


CHANGES = [
    slice_added,
    slice_gone,
    slice_touched,
    series_added,
    renamed,
    damaged_beside,
    linked_beside,
    copied,
    copy_gone,
    other_study,
    swapped_content,
    put_back,
    all_gone,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_costs_what_it_concerns(
    source: Path, planned: Any, scans: list[str], write_series: Any, change: Any
) -> None:
    planned()
    change(source, write_series)
    scans.clear()
    made, anew = planned()
    assert ids(made) == ids(anew)
    read = len(scans) - sum(path.is_file() for path in source.rglob("*"))
    assert read <= 12
    # And once more from there, and with the change undone as far as it can be.
    again, _ = planned()
    assert ids(again) == ids(anew)
    for name in ("broken.dcm", "dead"):
        (source / "DOE2" / name).unlink(missing_ok=True)
    shutil.rmtree(source / "study", ignore_errors=True)
    made, anew = planned()
    assert ids(made) == ids(anew)


def test_every_change_one_after_another(source: Path, planned: Any, write_series: Any) -> None:
    for change in [one for one in CHANGES if one not in (all_gone, renamed)]:
        change(source, write_series)
        made, anew = planned()
        assert ids(made) == ids(anew), change


def test_what_is_kept_names_nobody_and_damage_to_it_is_no_harm(
    source: Path, planned: Any, scans: list[str]
) -> None:
    _, anew = planned()
    kept = planned.kept.data
    assert kept is not None
    import pyarrow as pa

    packed, length = (int.from_bytes(kept[at : at + 8], "little") for at in (32, 40))
    said = pa.decompress(kept[64 : 64 + packed], length, codec="zstd", asbytes=True)
    for canary in (b"DOE", b"IM00", b"1.2.3.", b"README"):
        assert canary not in said
        assert canary not in kept
    for damage in (b"", b"x", kept[:-1], kept[:40] + b"\xff" + kept[41:], kept[:200]):
        planned.kept.data = damage
        made, _ = planned()
        assert ids(made) == ids(anew)
    flipped = bytearray(kept)
    flipped[len(kept) // 2] ^= 1
    planned.kept.data = bytes(flipped)
    made, _ = planned()
    assert ids(made) == ids(anew)


def test_x_rays_of_a_series_are_known(
    write_series: Callable[..., None], scans: list[str], planned: Any
) -> None:
    def placeless(data: Any, index: int) -> None:
        del data.ImagePositionPatient, data.ImageOrientationPatient
        data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"

    def plan() -> tuple[Found, Found]:
        return planned(projections=True, select={"modality": ["DX"]})  # type: ignore[no-any-return]

    write_series(1, change=placeless, Modality="DX")
    plan()
    write_series(3, change=placeless, Modality="DX")  # the series has grown
    once, anew = plan()
    assert ids(once) == ids(anew)
    assert not once.refused
    scans.clear()
    again, anew = plan()
    assert ids(again) == ids(anew)
    assert len(scans) == 3  # of the plan that knows nothing
