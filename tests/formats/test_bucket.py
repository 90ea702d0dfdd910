"""The outline of a bucket: sizes and fingerprints without content, keys that can be no paths."""

import os
from pathlib import Path

import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.bucket import fetched, outlined
from medray.formats.files import open_path, walk
from medray.storage.store.bucket_admin import Control
from medray.storage.store.objects import Objects
from tests.servers.bucket import Bucket


@pytest.fixture
def remote() -> Objects:
    objects = Objects("memory:///")
    objects.put("a/x.nii", b"x" * 5000)
    objects.put("b.nii", b"y" * 10)
    return objects


def test_sizes_and_marks_but_no_content(remote: Objects) -> None:
    with outlined(remote) as source:
        found, refused = walk(source, (".nii",))
        assert [(file.path, file.size) for file in found] == [("a/x.nii", 5000), ("b.nii", 10)]
        assert refused == []
        assert (source.root / "a/x.nii").read_bytes() == bytes(5000)
        assert (source.root / "a/x.nii").stat().st_blocks == 0
    assert not source.root.exists()


def test_a_mark_changes_with_the_content_only(remote: Objects) -> None:
    def marks() -> dict[str, int]:
        with outlined(remote) as source:
            return {file.path: file.fingerprint for file in walk(source, (".nii",))[0]}

    first = marks()
    assert marks() == first
    remote.put("b.nii", b"z" * 10)
    second = marks()
    assert second["a/x.nii"] == first["a/x.nii"]
    assert second["b.nii"] != first["b.nii"]


def test_fetch_and_drop_keep_size_and_mark(remote: Objects) -> None:
    with outlined(remote) as source:
        place = source.root / "a/x.nii"
        before = place.stat()
        source.fetch("a/x.nii", 100)
        assert place.read_bytes() == b"x" * 100 + bytes(4900)
        source.fetch("a/x.nii")
        assert place.read_bytes() == b"x" * 5000
        source.drop("a/x.nii")
        assert place.read_bytes() == bytes(5000)
        after = place.stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        source.fetch("not/there")


@pytest.mark.parametrize("key", ["n" * 300, "b.nii/c.nii"])
def test_keys_that_are_no_paths_are_accounted_for(remote: Objects, key: str) -> None:
    remote.put(key, b"1")
    with outlined(remote) as source:
        assert [refusal.code for refusal in source.refused] == ["unsafe-name"]
        assert key not in source.refused[0].source
        assert len(walk(source, (".nii",))[0]) == 2


def test_marks_of_folders_are_no_files(bucket: Bucket) -> None:
    control = Control(bucket.profile(""))
    for key in ("raw/", "raw/a/", "raw/a/x.nii"):
        control._call("put_object", Key=key, Body=b"1" if key.endswith(".nii") else b"")
    with outlined(bucket.objects("raw")) as source:
        assert source.refused == ()
        assert [file.path for file in walk(source, (".nii",))[0]] == ["a/x.nii"]


def test_an_input_comes_alone_and_goes(remote: Objects) -> None:
    with fetched(remote, ["a/x.nii", "gone.nii"]) as source:
        assert [path.name for path in source.root.rglob("*") if path.is_file()] == ["x.nii"]
        assert open_path(source, "a/x.nii").read_bytes() == b"x" * 5000
        with pytest.raises(DataError, match="missing-file"):
            open_path(source, "gone.nii")
    assert not source.root.exists()


def test_nothing_there() -> None:
    with pytest.raises(SpecError, match="no-such-source"), outlined(Objects("memory:///")):
        pass


def test_a_folder_needs_no_fetching(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    os.utime(tmp_path / "a", ns=(5, 5))
    source = Source(tmp_path)
    source.fetch("a")
    source.drop("a")
    assert (tmp_path / "a").stat().st_mtime_ns == 5
