"""Processes vouch for what is sound, and for nothing else, whatever becomes of them."""

from pathlib import Path

import pytest
from blake3 import blake3

from medray.storage.vouch import LARGEST, Vouchers

FILES = {"a": b"", "b/c": b"x" * 1000, "ö\n\t": b"y", "just": b"z" * (LARGEST - 1)}


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[str, str]]:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return [(name, blake3(data).hexdigest()) for name, data in FILES.items()]


def test_the_sound_are_told_from_all_others(tmp_path: Path, files: list[tuple[str, str]]) -> None:
    large = b"z" * LARGEST
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "folder").mkdir()
    others = [
        ("none", files[0][1]),
        ("a\0", files[0][1]),
        ("folder", files[0][1]),
        ("b/c", files[0][1]),
        ("b/c", ""),
        ("large", blake3(large).hexdigest()),
    ]
    with Vouchers(tmp_path) as vouchers:
        for _ in range(3):
            assert vouchers.vouch([*files, *others]) == [True] * 4 + [False] * 6
        assert vouchers.vouch([]) == []
        assert vouchers.vouch(files * 300) == [True] * 1200


def test_a_process_that_ends_vouches_for_nothing(
    tmp_path: Path, files: list[tuple[str, str]]
) -> None:
    with Vouchers(tmp_path) as vouchers:
        assert all(vouchers.vouch(files))
        for process in vouchers.processes:
            process.kill()
            process.wait()
        for _ in range(2 * vouchers.count):
            assert vouchers.vouch(files) == [False] * 4
    with Vouchers(tmp_path / "gone") as vouchers:
        assert vouchers.vouch(files) == [False] * 4
