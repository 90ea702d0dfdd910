"""Processes vouch for what is sound, and for nothing else, whatever becomes of them."""

from pathlib import Path

import pytest
from blake3 import blake3

from medray.storage.catalog.vouch import Vouchers
from medray.storage.store.sound import LARGEST

DATA = {"a": b"", "b/c": b"x" * 1000, "ö\n\t": b"y", "just": b"z" * (LARGEST - 1)}
Files = tuple[list[str], list[str]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for name, data in DATA.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return [*DATA], [blake3(data).hexdigest() for data in DATA.values()]


def test_the_sound_are_told_from_all_others(tmp_path: Path, files: Files) -> None:
    large = b"z" * LARGEST
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "folder").mkdir()
    paths, known = files
    others = ["none", "a\0", "folder", "b/c", "b/c", "b/c", "large"]
    hashes = [known[0], known[0], known[0], known[0], "", "no hash", blake3(large).hexdigest()]
    with Vouchers(tmp_path) as vouchers:
        for _ in range(3):
            sound = vouchers.vouch([*paths, *others], [*known, *hashes])
            assert sound == b"\1\1\1\1\0\0\0\0\0\0\0"
            sound = vouchers.vouch([*others, *paths], [*hashes, *known])
            assert sound == b"\0\0\0\0\0\0\0\1\1\1\1"
        assert vouchers.vouch([], []) == b""
        assert vouchers.vouch(paths * 5000, known * 5000) == b"\1" * 20_000


def test_a_process_that_ends_vouches_for_nothing(tmp_path: Path, files: Files) -> None:
    with Vouchers(tmp_path) as vouchers:
        assert all(vouchers.vouch(*files))
        for process in vouchers.processes:
            process.kill()
            process.wait()
        for _ in range(2 * vouchers.count):
            assert vouchers.vouch(*files) == bytes(4)
    with Vouchers(tmp_path / "gone") as vouchers:
        assert vouchers.vouch(*files) == bytes(4)
