"""Raw files below a source, and files put below a target: listed, confined, replaced atomically."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import NoReturn

from medray.errors import DataError, PassedOver, SpecError
from medray.formats.base import Input, Source, Stamp, stamp_of
from medray.formats.listing import Lost, entries, unreadable
from medray.storage.records import Refusal

MAX_NAME = 200  # bytes; file systems take 255, and a suffix and a temporary mark must fit too
OTHER = PassedOver("a file of another kind", code="other-kind")
OTHER_FORMAT = PassedOver(
    "an image or archive of another format than the source is read as", code="other-format"
)
SHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
SPREADSHEET = PassedOver(
    "a spreadsheet, which is not read", code="spreadsheet", hint="save its sheets as CSV"
)
ELSEWHERE = PassedOver("it lies in no folder that is asked for", code="other-folder")
INDICES = (".tbi", ".csi", ".gzi", ".fai", ".dict", ".idx")  # of the files that they lie beside


@dataclass(frozen=True, slots=True)
class Found:
    """One file below a source.

    Args:
        path: below the source's root, with forward slashes.
        size: bytes.
        mark: stands for its content, see `Source.mark`: the time of its last change, in ns.
        ctime_ns: time of the last change of its status; 0 where it tells nothing.
    """

    path: str
    size: int
    mark: int
    ctime_ns: int = 0

    @classmethod
    def of(cls, source: Source, path: str, status: os.stat_result) -> "Found":
        """What is known of a file.

        Raises:
            OSError: it cannot be read, where fingerprints are of contents.
        """
        return cls(path, *source.stamp(path, status))

    @property
    def stamp(self) -> Stamp:
        """What it must be like when it is read."""
        return self.size, self.mark, self.ctime_ns

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path without its last part; "" at the root."""
        return self.path.rpartition("/")[0]


def walk(
    source: Source,
    suffixes: tuple[str, ...],
    *,
    beside: tuple[str, ...] = (),
    own: tuple[str, ...] = (),
) -> tuple[list[Found], list[Refusal]]:
    """Every file below the source with one of `suffixes`, sorted by path.

    Every other file is passed over by name ("other-kind"), but for those whose names begin with a
    dot. What cannot be named, opened or followed is refused, and the rest goes on; see
    `listing.entries`.

    Args:
        source: of raw files.
        suffixes: lower-case endings of the files that are wanted.
        beside: endings of what may be meant as data too ("other-format").
        own: paths and endings of what belongs to such files and is none by itself, as their
            indices do.

    Raises:
        SpecError: the source does not exist (code "no-such-source").
    """
    root = source.root
    if root.is_file():
        if not root.name.lower().endswith(suffixes):
            return [], []
        return [Found.of(source, root.name, root.stat())], []
    if not root.is_dir():
        raise SpecError("the source does not exist", code="no-such-source", about=root.name)
    found: list[Found] = []
    refused: list[Refusal] = []
    endings = tuple(name for name in own if name.startswith("."))
    for entry in entries(replace(source, root=root.resolve())):
        path = entry.path if isinstance(entry, Lost) else entry[0]
        if not path.lower().endswith(suffixes) and not (isinstance(entry, Lost) and entry.folder):
            if path not in own and not path.lower().endswith(endings):
                other = OTHER_FORMAT if path.lower().endswith(beside) else OTHER
                other = SPREADSHEET if path.lower().endswith(SHEETS) else other
                refused.append(Refusal.of(path, other))
        elif isinstance(entry, Lost):
            refused.append(Refusal.of(path, entry.fault))
        else:
            try:
                found.append(Found.of(source, *entry))
            except OSError as error:
                fault = unreadable(error, "the file cannot be read")
                refused.append(Refusal.of(path, fault))
    found.sort(key=attrgetter("path"))
    return found, refused


def open_path(source: Source, path: str) -> Path:
    """The file at `path` below the source, which can be opened.

    Raises:
        DataError: it leads out of the source ("outside-source"), is gone ("missing-file"), or
            cannot be opened ("unreadable").
    """
    full = source.place(path)
    free = source.follow_links or full == source.root
    if not free and not full.resolve().is_relative_to(source.root.resolve()):
        raise DataError("the path leads out of the source", code="outside-source", about=path)
    try:
        os.close(os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        fault = unreadable(error, "the file cannot be opened")
        raise DataError(fault.message, code=fault.code, about=path, hint=fault.hint) from error
    return full


def item(key: str, files: Iterable[Found], **extra: object) -> Input:
    """An input of these files, fingerprinted by sizes and times of change."""
    files = list(files)
    return Input(
        key=key,
        paths=tuple([file.path for file in files]),
        fingerprint=";".join([f"{file.path}:{file.size}:{file.mark}" for file in files]),
        size=sum([file.size for file in files]),
        extra=extra,
        stamp=stamp_of([file.stamp for file in files]),
    )


def stem(name: str, suffixes: Iterable[str]) -> str:
    """A file's name without the longest of `suffixes` that it ends in."""
    lower = name.lower()
    cut = max([len(suffix) for suffix in suffixes if lower.endswith(suffix)], default=0)
    return name[:-cut] if cut else name


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


def is_empty(found: Sequence[object], refused: Iterable[Refusal]) -> bool:
    """Whether a source holds nothing of a format, not even something damaged."""
    return not found and all(one.kind == "passed-over" for one in refused)


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
