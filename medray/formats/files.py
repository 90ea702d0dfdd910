"""Raw files below a source, and files put below a target: listed, confined, replaced atomically."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from medray.errors import DataError, SpecError
from medray.formats.base import Input, Source
from medray.storage.records import Refusal

MAX_NAME = 200  # bytes; file systems take 255, and a suffix and a temporary mark must fit too


@dataclass(frozen=True)
class Found:
    """One file below a source.

    Args:
        path: below the source's root, with forward slashes.
        size: bytes.
        mtime_ns: time of its last change.
    """

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path without its last part; "" at the root."""
        return self.path.rpartition("/")[0]


def walk(
    source: Source, suffixes: tuple[str, ...], *, beside: tuple[str, ...] = ()
) -> tuple[list[Found], list[Refusal]]:
    """Every file below the source with one of `suffixes`, sorted by path.

    Other files that end in one of `beside` are passed over by name ("other-format").

    Names that begin with a dot are passed over (editors and macOS leave them beside data). Links to
    folders are not followed; a link to a file outside the root is refused ("outside-source"), and
    so is a folder that cannot be listed ("unreadable"): what it holds must not vanish unseen.

    Raises:
        SpecError: the source does not exist (code "no-such-source").
    """
    root = source.root
    if root.is_file():
        stat = root.stat()
        if not root.name.lower().endswith(suffixes):
            return [], []
        return [Found(root.name, stat.st_size, stat.st_mtime_ns)], []
    if not root.is_dir():
        raise SpecError("the source does not exist", code="no-such-source", about=root.name)
    real, found, refused = root.resolve(), [], []

    def unlisted(error: OSError) -> None:
        below = Path(error.filename).relative_to(root).as_posix()
        reason = f"the folder cannot be listed: {os.strerror(error.errno or 0)}"
        refused.append(Refusal(below, "unreadable", reason))

    for folder, folders, names in os.walk(root, onerror=unlisted):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.startswith("."):
                continue
            if not name.lower().endswith(suffixes):
                if name.lower().endswith(beside):
                    below = Path(folder, name).relative_to(root).as_posix()
                    reason = "an image or archive of another format than the source is read as"
                    refused.append(Refusal(below, "other-format", reason, kind="passed-over"))
                continue
            path = Path(folder, name)
            below = path.relative_to(root).as_posix()
            if not path.resolve().is_relative_to(real):
                reason = "the link leads out of the source"
                refused.append(Refusal(below, "outside-source", reason))
            elif not path.is_file():
                refused.append(Refusal(below, "not-a-file", "neither a file nor a link to one"))
            else:
                stat = path.stat()
                found.append(Found(below, stat.st_size, stat.st_mtime_ns))
    return sorted(found, key=lambda file: file.path), refused


def open_path(source: Source, path: str) -> Path:
    """The file at `path` below the source.

    Raises:
        DataError: it leads out of the source ("outside-source") or is gone ("missing-file").
    """
    if source.root.is_file() and path == source.root.name:
        return source.root
    full = source.root / path
    if not full.resolve().is_relative_to(source.root.resolve()):
        raise DataError("the path leads out of the source", code="outside-source", about=path)
    if not full.exists():
        raise DataError("the file is gone", code="missing-file", about=path)
    return full


def item(key: str, files: Iterable[Found], **extra: object) -> Input:
    """An input of these files, fingerprinted by sizes and times of change."""
    files = list(files)
    return Input(
        key=key,
        paths=tuple(file.path for file in files),
        fingerprint=";".join(f"{file.path}:{file.size}:{file.mtime_ns}" for file in files),
        size=sum(file.size for file in files),
        extra=dict(extra),
    )


def stem(name: str, suffixes: Iterable[str]) -> str:
    """A file's name without the longest of `suffixes` that it ends in."""
    for suffix in sorted(suffixes, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def place(target: Path, sample_id: str, suffix: str) -> Path:
    """Where a sample's file goes: directly below `target`.

    Raises:
        DataError: the id cannot be a file name (code "unsafe-name").
    """
    name = sample_id + suffix
    unsafe = name.startswith(".") or set(name) & set("/\\") or not name.isprintable()
    if unsafe or not sample_id or len(name.encode()) > MAX_NAME:
        raise DataError("the sample's id cannot be a file name", code="unsafe-name")
    return target / name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; put it in place whole when the block ends well.

    The temporary file or folder is removed when the block fails, so that a half-written file never
    stands under its final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        yield temporary
        if path.is_dir():
            # A folder can't be replaced in one step: the old one steps aside first.
            aside = path.parent / f".{path.name}.{secrets.token_hex(4)}"
            path.rename(aside)
            temporary.rename(path)
            shutil.rmtree(aside)
        else:
            temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def nothing_found(source: Source, what: str, hint: str) -> NoReturn:
    """Raise the error for a source without a single file of the format."""
    raise SpecError(f"no {what} found", code="nothing-found", about=source.root.name, hint=hint)


def unique(
    items: Iterable[Input], refused: list[Refusal], key: Callable[[Input], str] = lambda i: i.key
) -> list[Input]:
    """The inputs with each key once; later ones go to `refused` (code "duplicate-id")."""
    kept: dict[str, Input] = {}
    for one in items:
        if key(one) in kept:
            reason = "another file of the source gives the same sample id"
            refused.append(Refusal(one.key, "duplicate-id", reason, files=len(one.paths)))
        else:
            kept[key(one)] = one
    return list(kept.values())
