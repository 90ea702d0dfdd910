"""Raw files below a source, and files put below a target: listed, confined, replaced atomically."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, overload

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from medray.errors import DataError, PassedOver, SpecError
from medray.formats.base import Input, Source, joined
from medray.formats.listing import folders, numbers_of, texts_of, unreadable
from medray.storage.shards.records import Refusal
from medray.storage.store.compute import call, cast, matches

BLOCK = 1024  # files that are looked at at a time: of more, Python's objects take room
MAX_NAME = 200  # bytes; file systems take 255, and a suffix and a temporary mark must fit too
_COLON = texts_of([":"])[0]
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


class File(NamedTuple):
    """One file below a source.

    Args:
        path: below the source's root, with forward slashes.
        size: bytes.
        fingerprint: its size, and what stands for its content, see `Source.mark`.
        stamp: of what it must be like when it is read, see `stamp_of`.
    """

    path: str
    size: int
    fingerprint: str
    stamp: int

    @classmethod
    def of(cls, source: Source, path: str, status: os.stat_result) -> "File":
        """What is known of a file.

        Raises:
            OSError: it cannot be read, where fingerprints are of contents.
        """
        stamp = source.stamp(path, status)
        return Files(texts_of([path]), np.array([stamp], np.int64))[0]

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path without its last part; "" at the root."""
        return self.path.rpartition("/")[0]


_as_found, _as_input = partial(tuple.__new__, File), partial(tuple.__new__, Input)


class Files(Sequence[File]):
    """Files below a source, sorted by path.

    They stand in columns, 28 bytes a file beside its path's: a `File` is made as it is asked for.

    Args:
        paths: of the files.
        stamps: int64 (files, 3): of each its size, mark and ctime_ns.
    """

    def __init__(self, paths: pa.LargeStringArray, stamps: np.ndarray) -> None:
        self.paths, self.stamps = paths, stamps

    @classmethod
    def sorted(cls, parts: Sequence["Files"]) -> "Files":
        """Of parts, at least one, in whatever order they and their files come."""
        first = parts[0].paths
        if len(parts) == 1 and call("all", call("less", first[:-1], first[1:])).as_py():
            return parts[0]  # a copy would be the most that a plan holds at a time
        paths = pa.concat_arrays([part.paths for part in parts])
        order = call("array_sort_indices", paths)
        stamps = np.concatenate([part.stamps for part in parts])
        return cls(call("take", paths, order), stamps[np.from_dlpack(order)])

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, at: int) -> File: ...
    @overload
    def __getitem__(self, at: slice) -> "Files": ...
    def __getitem__(self, at: int | slice) -> "File | Files":
        if isinstance(at, slice):
            return Files(self.paths[at], self.stamps[at])
        at = range(len(self))[at]
        return next(iter(self[at : at + 1]))

    def __iter__(self) -> Iterator[File]:
        for block in self.blocks():
            yield from map(_as_found, zip(*block.columns(), strict=True))

    def blocks(self) -> Iterator["Files"]:
        """All of them, so many at a time that what is made of a column of them takes no room."""
        return (self[start : start + BLOCK] for start in range(0, len(self), BLOCK))

    def columns(self) -> tuple[list[str], list[int], list[str], list[int]]:
        """What a `File` has, of each: paths, sizes, fingerprints, stamps."""
        sizes, marks = (numbers_of(self.stamps[:, at].copy()) for at in (0, 1))
        texts = (cast(numbers, pa.large_string()) for numbers in (sizes, marks))
        stamps = map(xxh3_64_intdigest, self.stamps.view("V24")[:, 0].tolist())
        return (
            self.paths.to_pylist(),
            sizes.to_pylist(),
            call("binary_join_element_wise", *texts, _COLON).to_pylist(),
            (np.fromiter(stamps, np.uint64, len(self)) >> np.uint64(16)).tolist(),
        )

    def inputs(self, keys: Iterable[str], extras: Iterable[dict[str, Any]]) -> Iterator[Input]:
        """Of each an input of its own as `item` makes it, but without a step of Python for each."""
        paths, sizes, fingerprints, stamps = self.columns()
        fields = zip(keys, zip(paths), fingerprints, sizes, extras, stamps, strict=True)
        return map(_as_input, fields)

    def stems(self, suffixes: Iterable[str]) -> list[str]:
        """Their paths, each as `stem` has it."""
        cuts = np.zeros(len(self), np.int64)
        for suffix in sorted(suffixes, key=len):
            cuts[self.ending([suffix])] = len(suffix)
        paths = self.paths.to_pylist()
        return [path[: len(path) - cut] for path, cut in zip(paths, cuts.tolist(), strict=True)]

    def where(self, wanted: np.ndarray) -> "Files":
        """Some of them.

        Args:
            wanted: bool (files,).
        """
        at = np.flatnonzero(wanted)
        if len(at) == len(self):
            return self
        return Files(call("take", self.paths, numbers_of(at)), self.stamps[at])

    def below(self, folders: Iterable[str]) -> np.ndarray:
        """Which of them lie below one of some folders, bool (files,)."""
        tests = [partial(matches, "starts_with", pattern=f"{folder}/") for folder in folders]
        return self._any(lambda paths: [test(paths) for test in tests])

    def ending(self, suffixes: Iterable[str]) -> np.ndarray:
        """Which of them end so, in letters of either case, bool (files,)."""
        tests = [partial(matches, "ends_with", pattern=suffix) for suffix in suffixes]
        return self._any(lambda paths: [test(call("ascii_lower", paths)) for test in tests])

    def marked(self, source: Source, refused: list[Refusal]) -> "Files":
        """Those of them that stand for their contents as `source` says.

        Args:
            source: of files whose stamps hold the times of their last changes.
            refused: takes what could not be read.
        """
        stamps, read = self.stamps.copy(), np.ones(len(self), bool)
        if not source.exact:
            stamps[:, 2] = 0
        for at, path in enumerate(self.paths.to_pylist() if source.by_content else ()):
            try:
                stamps[at, 1] = source.mark(path, int(stamps[at, 1]))
            except OSError as error:
                refused.append(Refusal.of(path, unreadable(error, "the file cannot be read")))
                read[at] = False
        return Files(self.paths, stamps).where(read)

    def _any(self, tests: Callable[[pa.LargeStringArray], list[pa.BooleanArray]]) -> np.ndarray:
        found = np.zeros(len(self), bool)
        for start in range(0, len(self), BLOCK):  # Arrow keeps the memory of what it made
            for mask in tests(self.paths[start : start + BLOCK]):
                found[start : start + BLOCK][np.from_dlpack(call("indices_nonzero", mask))] = True
        return found


def walk(
    source: Source,
    suffixes: tuple[str, ...],
    *,
    beside: tuple[str, ...] = (),
    own: tuple[str, ...] = (),
) -> tuple[Files, list[Refusal]]:
    """Every file below the source with one of `suffixes`, sorted by path.

    Every other file is passed over by name ("other-kind"), but for those whose names begin with a
    dot. What cannot be named, opened or followed is refused, and the rest goes on; see
    `listing.folders`.

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
        rows = np.array([source.stamp(root.name, root.stat())], np.int64)
        one = Files(texts_of([root.name]), rows)
        return one[: root.name.lower().endswith(suffixes)], []
    if not root.is_dir():
        raise SpecError("the source does not exist", code="no-such-source", about=root.name)
    source = replace(source, root=root.resolve())
    found: list[Files] = []
    refused: list[Refusal] = []
    endings = tuple(name for name in own if name.startswith("."))

    def other(path: str) -> None:
        if path not in own and not path.lower().endswith(endings):
            kind = OTHER_FORMAT if path.lower().endswith(beside) else OTHER
            kind = SPREADSHEET if path.lower().endswith(SHEETS) else kind
            refused.append(Refusal.of(path, kind))

    for folder in folders(source):
        listed = Files(folder.files, folder.status[:, :3])
        wanted = listed.ending(suffixes)
        for path in listed.where(~wanted).paths.to_pylist():
            other(path)
        found.append(listed.where(wanted).marked(source, refused))
        for lost in folder.lost:
            if lost.folder or lost.path.lower().endswith(suffixes):
                refused.append(Refusal.of(lost.path, lost.fault))
            else:
                other(lost.path)
    return Files.sorted(found), refused


def open_path(source: Source, path: str) -> Path:
    """The file at `path` below the source, which can be opened.

    Raises:
        DataError: it leads out of the source ("outside-source"), is gone ("missing-file"), or
            cannot be opened ("unreadable").
    """
    full, root = source.spelt(path), os.path.realpath(source.root)
    free = source.follow_links or full == str(source.root)
    if not free and os.path.commonpath([os.path.realpath(full), root]) != root:
        raise DataError("the path leads out of the source", code="outside-source", about=path)
    try:
        os.close(os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        fault = unreadable(error, "the file cannot be opened")
        raise DataError(fault.message, code=fault.code, about=path, hint=fault.hint) from error
    return Path(full)


def item(key: str, files: Sequence[File], **extra: object) -> Input:
    """An input of these files, fingerprinted by sizes and times of change."""
    if len(files) == 1:
        path, size, fingerprint, stamp = files[0]
        return Input(key, (path,), fingerprint, size, extra, stamp)
    paths, sizes, fingerprints, stamps = zip(*files, strict=True)
    return Input(key, paths, ";".join(fingerprints), sum(sizes), extra, joined(stamps))


def stem(name: str, suffixes: Iterable[str]) -> str:
    """A file's name without the longest of `suffixes` that it ends in."""
    lower, cut = name.lower(), 0
    for suffix in suffixes:
        if lower.endswith(suffix) and len(suffix) > cut:
            cut = len(suffix)
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
