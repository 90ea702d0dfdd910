"""Tokens: shown once, kept as hashes, in a file that nobody else may read."""

import stat
from pathlib import Path

import pytest

from medray.errors import SpecError
from medray.serving.tokens import add_token, hash_of, known, read_tokens


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "tokens"
    first, second = add_token(file), add_token(file)
    assert len(first) >= 43  # 256 bits
    assert first != second
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first not in file.read_text()
    hashes = read_tokens(file)
    assert hashes == (hash_of(first), hash_of(second))
    assert known(first, hashes)
    assert known(second, hashes)
    assert not known(first[:-1], hashes)
    assert not known("", hashes)
    assert not known(hash_of(first), hashes), "the hash is no token"


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        (None, 0o600, "no-token-file"),
        ("", 0o600, "bad-token-file"),
        ("my-secret-token", 0o600, "bad-token-file"),
        ("sha256:" + "0" * 64, 0o604, "loose-token-file"),
        ("sha256:" + "0" * 64, 0o620, "loose-token-file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, mode: int, code: str) -> None:
    file = tmp_path / "tokens"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    with pytest.raises(SpecError) as caught:
        read_tokens(file)
    assert caught.value.code == code
    assert "my-secret-token" not in str(caught.value)


def test_a_loose_file_gets_no_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("sha256:" + "0" * 64 + "\n")
    file.chmod(0o644)
    with pytest.raises(SpecError):
        add_token(file)
    assert file.read_text().count("\n") == 1
