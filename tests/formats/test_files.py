"""Files below a source and a target: confined, counted, replaced whole."""

import os
from pathlib import Path

import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.files import open_path, place, replacing, stem, walk


def test_walk_lists_sorted_and_passes_hidden_files_over(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.PNG", ".hidden.png", ".git/d.png", "notes.txt", "a/._c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12")
    found, refused = walk(Source(tmp_path), (".png",))
    assert [file.path for file in found] == ["a/c.PNG", "b.png"]
    assert found[0].size == 2
    assert found[0].folder == "a"
    assert not refused


def test_links_out_of_the_source_are_refused(tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"1")
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "a.png").write_bytes(b"1")
    (root / "link.png").symlink_to(outside)
    (root / "within.png").symlink_to(root / "in" / "a.png")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.png")
    found, refused = walk(Source(root), (".png",))
    assert [file.path for file in found] == ["in/a.png", "within.png"]
    assert {(one.source, one.code) for one in refused} == {
        ("link.png", "outside-source"),
        ("pipe.png", "not-a-file"),
    }
    for path in ("link.png", "../secret.png", str(outside)):
        with pytest.raises(DataError, match="outside-source"):
            open_path(Source(root), path)
    with pytest.raises(DataError, match="missing-file"):
        open_path(Source(root), "gone.png")


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no-such-source"):
        walk(Source(tmp_path / "none"), (".png",))


def test_stem_takes_the_longest_suffix() -> None:
    assert stem("a.b.nii.GZ", (".gz", ".nii.gz", ".nii")) == "a.b"


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "a\\b", "a\nb", "", "x" * 250])
def test_names_that_are_no_file_names(name: str) -> None:
    with pytest.raises(DataError, match="unsafe-name"):
        place(Path("to"), name, ".png")


def fill_the_disk(path: Path) -> None:
    path.write_bytes(b"half of the ne")
    raise OSError("disk full")


def test_replacing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "to" / "a.bin"
    with replacing(path) as temporary:
        temporary.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"), replacing(path) as temporary:
        fill_the_disk(temporary)
    assert path.read_bytes() == b"old"
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]


def test_replacing_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    for content in ("one", "two"):
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert [file.name for file in path.iterdir()] == ["two"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.zarr"]
