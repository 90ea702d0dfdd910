"""The contract of storage, held to a disk, memory, moto and Ceph: the two verbs that exactly-once
output stands on, raced by threads; reading and writing."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3
from google_crc32c import value as crc32c

from medray.errors import DataError, FatalError, RetryableError, SpecError
from medray.storage.store import disk
from medray.storage.store.disk import SMALL_BYTES
from medray.storage.store.objects import Objects
from medray.storage.store.probe import probe

RACERS = 16


def test_put_new_has_one_winner_whose_bytes_stay(any_objects: Objects) -> None:
    for number in range(20):
        with ThreadPoolExecutor(RACERS) as pool:
            won = list(
                pool.map(
                    lambda i, n=number: any_objects.put_new(f"a/{n}", f"{i}".encode()),
                    range(RACERS),
                )
            )
        assert won.count(True) == 1
        assert any_objects.get(f"a/{number}") == f"{won.index(True)}".encode()


def test_swap_loses_no_increment(any_objects: Objects) -> None:
    any_objects.put("counter", b"0")

    def increment(_: int) -> None:
        while True:
            data, tag = any_objects.get_tagged("counter")
            if any_objects.swap("counter", str(int(data) + 1).encode(), tag):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(60)))
    assert any_objects.get("counter") == b"60"


def test_swap_of_nothing_creates_only(any_objects: Objects) -> None:
    assert any_objects.swap("head", b"1", None)
    assert not any_objects.swap("head", b"2", None)
    assert not any_objects.swap("absent", b"2", "no-such-tag")
    assert any_objects.get("head") == b"1"


def test_reads(any_objects: Objects) -> None:
    any_objects.put("x/data", bytes(range(100)))
    assert any_objects.get_tail("x/data", 4) == bytes([96, 97, 98, 99])
    ranges = any_objects.get_ranges("x/data", [0, 50, 2], [3, 52, 3])
    assert [bytes(part) for part in ranges] == [b"\x00\x01\x02", b"23", b"\x02"]
    assert any_objects.exists("x/data")
    assert not any_objects.exists("x/other")
    with pytest.raises(FileNotFoundError):
        any_objects.get("x/other")


def test_a_folder_is_no_object(any_objects: Objects) -> None:
    any_objects.put("x/data", b"1")
    if any_objects.url.startswith("file:"):
        with pytest.raises(DataError, match="damaged-object"):
            any_objects.exists("x")
    else:
        assert not any_objects.exists("x")


def test_walk_folders_delete(any_objects: Objects) -> None:
    for path in ("a/1", "a/b/2", "c/3"):
        any_objects.put(path, path.encode())
    assert {entry.path: entry.size for entry in any_objects.walk("a")} == {"a/1": 3, "a/b/2": 5}
    assert any_objects.folders("") == ["a", "c"]
    assert any_objects.count("a") == any_objects.count("") == 2
    assert any_objects.count("gone") == 0
    any_objects.delete(["a/1", "a/b/2", "a/gone"])
    assert [entry.path for entry in any_objects.walk()] == ["c/3"]
    assert any_objects.folders("") == ["c"], "no empty folder stays behind"


def test_a_write_that_fails_leaves_what_stood_there(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put("a/1", b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RetryableError) as caught:
        objects.put("a/1", b"new")
    assert caught.value.code == "storage-full"
    assert objects.get("a/1") == b"old"
    assert [entry.path for entry in objects.walk()] == ["a/1"]
    assert list(objects.cut_writes()) == []


def test_many_objects_at_once_and_one_in_pieces_read_as_written(
    any_objects: Objects,
) -> None:
    objects = any_objects
    many = 600 if objects.folder else 30  # on a disk more than may be open at once
    files = {f"{n % 7}/{n}": bytes([n % 251]) * n for n in range(1, many)}
    objects.put_all("a", files)
    assert {entry.path: objects.get(entry.path) for entry in objects.walk("a")} == {
        f"a/{name}": data for name, data in files.items()
    }
    stream = objects.begin("b/whole")
    pieces = list(files.values())
    stream.write(pieces[0])
    stream.write(*pieces[1:])
    stream.close()
    objects.put_all("b", {}, [stream])
    whole = b"".join(files.values())
    assert objects.get("b/whole") == whole
    sizes = [len(piece) for piece in pieces]
    sums = [(len(piece), crc32c(piece)) for piece in pieces]
    found = objects.sums_of("b/whole", sizes)
    assert found == (sums, blake3(whole).hexdigest())
    last = pieces[-1]
    shorter = objects.sums_of("b/whole", [*sizes[:-1], len(last) - 1])
    assert shorter.pieces == [
        *sums[:-1],
        (len(last) - 1, crc32c(last[:-1])),
        (1, crc32c(last[-1:])),
    ]
    assert objects.sums_of("b/whole", [*sizes, 5]).pieces == [*sums, (0, 0)]
    with pytest.raises(FileNotFoundError):
        objects.sums_of("b/none", sizes)


def test_a_disk_that_takes_a_part_of_each_write_gets_all(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [bytes([n % 251]) * (n % 5) for n in range(1500)]  # more than a system takes at once
    real, calls = os.writev, []

    def grudging(handle: int, parts: list[memoryview]) -> int:
        calls.append(len(parts))
        left, some = 7, []
        for part in parts:
            some.append(part[:left])
            left -= len(some[-1])
        return real(handle, some)

    stream = objects.begin("a/x")
    monkeypatch.setattr(os, "writev", grudging)
    stream.write(*pieces)
    monkeypatch.undo()
    stream.write(*pieces)
    stream.close()
    stream.settle()
    assert objects.get("a/x") == b"".join(pieces) * 2
    assert max(calls) <= 1024


def test_what_gc_takes_before_it_is_settled_is_no_damage(objects: Objects) -> None:
    stream = objects.begin("a/shard/1")
    stream.write(b"1")
    stream.close()
    objects.put("a/other", b"")  # the folder above stays
    objects.delete(["a/shard/1"])
    objects.put_all("a", {"2": b"2"}, [stream])
    assert sorted(entry.path for entry in objects.walk()) == ["a/2", "a/other"]


def test_a_full_disk_is_named_whatever_is_written(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    stream = objects.begin("a/1")
    stream.write(b"1")
    stream.close()
    for write in (stream.settle, lambda: objects.put_all("a", {"2": b"2"})):
        with pytest.raises(RetryableError) as caught:
            write()
        assert caught.value.code == "storage-full"


def test_a_cut_write_is_no_object_until_it_is_swept(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path))
    objects.put("a/1", b"whole")
    (tmp_path / "a" / "2#123").write_bytes(b"half")
    assert [entry.path for entry in objects.walk()] == ["a/1"]
    assert [(entry.path, entry.size) for entry in objects.cut_writes()] == [("a/2#123", 4)]
    objects.delete(["a/2#123"])
    assert list(objects.cut_writes()) == []


def test_locks_are_no_objects(objects: Objects) -> None:
    objects.put("d/HEAD", b"1")
    assert objects.swap("d/HEAD", b"2", objects.get_tagged("d/HEAD")[1])
    assert [entry.path for entry in objects.walk("d")] == ["d/HEAD"]


def test_a_listing_says_what_each_object_says(any_objects: Objects) -> None:
    """Its ETags above all: what a plan believes of a commit stands on them."""
    written = {f"a/{number}/{name}": b"x" * number for number in range(3) for name in "bc"}
    for path, data in {**written, "a/d": b"d", "ab": b"e"}.items():
        any_objects.put(path, data)
    found = {entry.path: entry for entry in any_objects.walk("a")}
    assert found.keys() == {*written, "a/d"}
    for path, entry in found.items():
        data, etag = any_objects.get_tagged(path)
        assert (entry.size, entry.etag) == (len(data), etag)
        assert abs(entry.modified - any_objects.modified(path)) < 1
    assert list(any_objects.walk("none")) == list(any_objects.walk("a/d")) == []
    assert any_objects.swap("a/d", b"other", found["a/d"].etag)
    assert not any_objects.swap("a/d", b"more", found["a/d"].etag)


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, 2**21 + 1])
def test_files_of_all_sizes_are_read_whole(objects: Objects, size: int) -> None:
    data = os.urandom(size)
    objects.put("a", data)
    assert objects.get("a") == data


def test_probe_accepts_and_refuses(any_objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    probe(any_objects)
    assert list(any_objects.walk()) == []
    monkeypatch.setattr(any_objects, "put_new", lambda path, data: any_objects.put(path, data) or 1)
    with pytest.raises(SpecError) as caught:
        probe(any_objects)
    assert caught.value.code == "unconditional-store"


def test_travels_by_url(objects: Objects) -> None:
    objects.put("a", b"1")
    assert pickle.loads(pickle.dumps(objects)).get("a") == b"1"


def test_unwritable_folder_is_a_passing_fault_with_its_path(objects: Objects) -> None:
    Path(objects.url.removeprefix("file://")).chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(RetryableError, match="a/b") as caught:
            objects.put("a/b", b"1")
    finally:
        os.seteuid(user)
    assert caught.value.code == "storage-failed"


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("write failed: No space left on device (os error 28)", RetryableError, "storage-full"),
        ("Disk quota exceeded (os error 122)", RetryableError, "storage-full"),
        ("File too large (os error 27)", FatalError, "storage-limit"),
        ("connection reset by peer", RetryableError, "storage-failed"),
    ],
)
def test_faults_say_what_to_do(
    text: str, kind: type[Exception], code: str, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(text)

    monkeypatch.setattr(disk, "create_file", fail)
    with pytest.raises(kind, match="some/path") as caught:
        objects.put_new("some/path", b"1")
    assert caught.value.code == code
