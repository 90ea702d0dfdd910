"""Files below a source and a target: confined, counted, replaced whole."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Input, Source, stamp_of
from medray.formats.files import BLOCK, File, Files, item, open_path, place, replacing, stem, walk
from medray.formats.listing import texts_of


def test_walk_lists_sorted_and_passes_hidden_files_over(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.PNG", ".hidden.png", ".git/d.png", "notes.txt", "a/._c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12")
    found, refused = walk(Source(tmp_path), (".png",))
    assert [file.path for file in found] == ["a/c.PNG", "b.png"]
    assert found[0].size == 2
    assert found[0].folder == "a"
    assert [(one.source, one.kind, one.code) for one in refused] == [
        ("notes.txt", "passed-over", "other-kind")
    ]


def test_files_stand_in_columns_and_are_what_their_status_says(tmp_path: Path) -> None:
    names = [f"{'b' if n % 3 else 'a-b' if n % 2 else 'a'}/{n:05d}.PNG" for n in range(BLOCK + 50)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1" * (int(name[-9:-4]) % 7))
    source = Source(tmp_path)
    found, _ = walk(source, (".png",))
    # "a-b/" comes before "a/" in paths, and behind it as folders are listed.
    assert [file.path for file in found] == sorted(names)
    for at in (0, 1, BLOCK, -1):
        file = [*found][at]
        status = (tmp_path / file.path).stat()
        told = f"{status.st_size}:{status.st_mtime_ns}"
        stamp = stamp_of([source.stamp(file.path, status)])
        assert found[at] == file == File(file.path, status.st_size, told, stamp)
    assert [*found[5:9]] == [*found][5:9]
    below = found.below(["a", "a-b"])
    assert [file.path for file in found.where(below)] == sorted(n for n in names if n[0] == "a")
    assert [*found.where(below), *found.where(~below)] == [*found]
    assert found.ending([".png"]).all()
    assert not found.ending([".PNG", "png.gz"]).any()
    assert not found.where(np.zeros(len(found), bool))


def test_inputs_made_by_columns_are_those_made_one_by_one(tmp_path: Path) -> None:
    names = ("a.NII.gz", "b/c.nii", "b/nii.nii", "b/ä.nii.gz", "d.nii.gz.nii", "e.gz")
    for size, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1" * size)
    found, _ = walk(Source(tmp_path), (".nii", ".gz"))
    suffixes = (".nii", ".gz", ".nii.gz")
    stems = found.stems(suffixes)
    assert stems == [stem(file.path, suffixes) for file in found]
    assert stems == ["a", "b/c", "b/nii", "b/ä", "d.nii.gz", "e"]
    extras = [{"id": key} for key in stems]
    made = [*found.inputs(stems, extras)]
    assert made == [item(key, [file], id=key) for key, file in zip(stems, found, strict=True)]
    assert {type(one) for one in made} == {Input}
    with pytest.raises(ValueError, match="longer"):
        [*found.inputs(stems[1:], extras)]


def test_blocks_are_all_files_in_order(tmp_path: Path) -> None:
    paths = [f"{n:05d}" for n in range(2 * BLOCK + 1)]
    files = Files(texts_of(paths), np.arange(3 * len(paths)).reshape(-1, 3))
    blocks = [*files.blocks()]
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 1]
    assert [file for block in blocks for file in block] == [*files]


def test_an_input_of_several_files_is_stamped_by_all_of_them_in_order(tmp_path: Path) -> None:
    for name in ("x.png", "y.png"):
        (tmp_path / name).write_bytes(name.encode())
    source = Source(tmp_path)
    x, y = walk(source, (".png",))[0]
    made = item("both", [x, y], kind="pair")
    stamps = [source.stamp(one.path, (tmp_path / one.path).stat()) for one in (x, y)]
    assert made.stamp == stamp_of(stamps) != stamp_of(stamps[::-1])
    assert made.paths == ("x.png", "y.png")
    assert (made.fingerprint, made.size) == (f"{x.fingerprint};{y.fingerprint}", 10)


def test_a_plan_loads_no_pandas(tmp_path: Path) -> None:
    """50 MB and a third of a second, for nothing: a fifth of what 200,000 files take."""
    (tmp_path / "labels").mkdir()
    for name in ("a.nii.gz", "b.nii", "labels/a.nii.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"1")
    code = (
        "import sys; from pathlib import Path; from medray.formats.base import Source\n"
        "from medray.formats.nifti import Nifti\n"
        f"plan = Nifti(Nifti.Options()).plan(Source(Path({str(tmp_path)!r})))\n"
        "print(len(plan.groups), len(plan.refused), 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "2", "False"]


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
        ("folder", "outside-source"),
        ("link.png", "outside-source"),
        ("pipe.png", "not-a-file"),
    }
    for path in ("link.png", "../secret.png", str(outside)):
        with pytest.raises(DataError, match="outside-source"):
            open_path(Source(root), path)
    with pytest.raises(DataError, match="missing-file"):
        open_path(Source(root), "gone.png")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Good files around everything that a tree can hold besides."""
    root = tmp_path / "root"
    for name in ("a/1.png", "b/2.png", "z.png", ".store/3.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")
    aside = tmp_path / "aside"
    (aside / "deep").mkdir(parents=True)
    (aside / "4.png").write_bytes(b"1")
    (aside / "deep" / "5.png").write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(root) + b"/b/caf\xe9.png")).write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.txt")).write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(root) + b"/\xfe")).mkdir()
    Path(os.fsdecode(os.fsencode(root) + b"/\xfe/6.png")).write_bytes(b"1")
    (root / "a" / "self.png").symlink_to("self.png")
    (root / "a" / "gone.png").symlink_to("nowhere.png")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "aside").symlink_to(aside)
    (root / "b" / "again").symlink_to(aside / "deep")
    (root / "b" / "store").symlink_to(root / ".store")
    (aside / "deep" / "round").symlink_to(aside)
    (aside / "home").symlink_to(root.parent)
    os.mkfifo(root / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # a socket's path is short
        listener.bind("socket.png")
        os.chdir(here)
    return root


NEVER = {
    ("a/self.png", "link-loop"),
    ("a/gone.png", "broken-link"),
    ("b/caf\\xe9.png", "unnameable"),
    ("\\xfe/6.png", "unnameable"),
    ("pipe.png", "not-a-file"),
    ("socket.png", "not-a-file"),
}


def test_what_cannot_be_named_opened_or_followed_is_one_refusal_each(tree: Path) -> None:
    found, refused = walk(Source(tree), (".png",))
    assert [file.path for file in found] == ["a/1.png", "b/2.png", "z.png"]
    quarantined = {(one.source, one.code) for one in refused if one.kind == "quarantined"}
    assert quarantined == NEVER | {
        ("b/aside", "outside-source"),
        ("b/again", "outside-source"),
        ("b/store", "linked-folder"),
    }
    passed = {(one.source, one.code) for one in refused if one.kind == "passed-over"}
    assert passed == {("a/up", "rejected-link"), ("\\xff.txt", "other-kind")}
    assert all(json.dumps([one.source, one.hint]).isascii() for one in refused)


def test_links_are_followed_once_where_the_job_says_so(tree: Path) -> None:
    found, refused = walk(Source(tree, follow_links=True), (".png",))
    paths = [file.path for file in found]
    assert paths == [
        "a/1.png",
        "b/2.png",
        "b/again/5.png",
        "b/aside/4.png",
        "b/store/3.png",
        "z.png",
    ]
    source = Source(tree, follow_links=True)
    assert [open_path(source, path).read_bytes() for path in paths] == [b"1"] * 6
    assert {(one.source, one.code) for one in refused if one.kind == "quarantined"} == NEVER


def test_a_file_that_vanishes_while_it_is_listed(tree: Path, monkeypatch: Any) -> None:
    real = os.stat

    def vanishing(path: Any, **options: Any) -> os.stat_result:
        if path == "2.png":
            raise FileNotFoundError(errno.ENOENT, "gone", path)
        if path == "z.png":
            raise PermissionError(errno.EACCES, "no", path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", vanishing)
    found, refused = walk(Source(tree), (".png",))
    assert [file.path for file in found] == ["a/1.png"]
    codes = {one.source: one.code for one in refused}
    assert (codes["b/2.png"], codes["z.png"]) == ("missing-file", "unreadable")


def test_what_may_not_be_read_is_refused(tree: Path) -> None:
    """A child gives its rights up, where it has any to give."""
    (tree / "a" / "1.png").chmod(0)
    (tree / "locked").mkdir()
    (tree / "locked" / "7.png").write_bytes(b"1")
    (tree / "locked").chmod(0)
    for folder in (tree, *tree.parents):
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        found, refused = walk(Source(tree), (".png",))
        codes = {one.source: one.code for one in refused}
        try:
            open_path(Source(tree), "a/1.png")
        except DataError as error:
            sound = error.code == "unreadable" and codes["locked"] == "unreadable"
            os._exit(0 if sound and len(found) == 3 else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


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
