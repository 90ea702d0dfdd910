"""Headers that need not be read again: what the last plan made of files that are as they were.

A nightly plan over a million headers, of which a thousandth are new, reads a thousandth. What is
kept holds no name, path or UID in the clear: of each folder and of each file 64 bits of a keyed
hash over paths, sizes, times and nodes; of each series what becomes an input, under its pseudonym;
and refusals, as the quarantine has them. Whatever is not whole, of other options, another key or
another version is as if it were not there.

A folder that is as it was is known by one hash; of others each file is looked up. A series is taken
as it was only where all of its files are, and where nothing that was scanned now belongs to it.
Files beside a damaged one are never kept: what the damage means for them depends on their whole
folder.
"""

import itertools
import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from blake3 import blake3

from medray.formats.base import Input, Memory
from medray.formats.listing import Folder, numbers_of
from medray.storage.shards.records import Refusal

_HEAD = struct.Struct("<4Q")  # bytes of the records, packed and not, folders, files; behind the sum
SUM_BYTES = 32


@dataclass
class Record:
    """What became of one series, or of one file that is none.

    Args:
        files: paths, the slices in order and then their copies.
        series: pseudonym of the series UID, "" where there is none.
        input: what it became, if it was taken.
        refused: what was not.
    """

    files: list[str]
    series: str
    input: Input | None
    refused: list[Refusal] = field(default_factory=list)

    def encode(self) -> dict[str, Any]:
        """Without paths: files are told by their places."""
        made = None
        if self.input is not None:
            place = {path: number for number, path in enumerate(self.files)}
            copies = [[index, place[path]] for index, path in self.input.extra["copies"]]
            made = {**self.input._asdict(), "paths": len(self.input.paths)}
            made["extra"] = {**self.input.extra, "copies": copies}
        refused = [asdict(one) for one in self.refused]
        return {"series": self.series, "input": made, "refused": refused}


@dataclass(frozen=True)
class Recalled:
    """What became of files that are as they were.

    Args:
        known: what `Record.encode` made.
        paths: that the files have.
    """

    known: dict[str, Any]
    paths: pa.LargeStringArray

    @property
    def key(self) -> str:
        """Of what it became, "" where it was refused."""
        made = self.known["input"]
        return str(made["key"]) if made is not None else ""

    @property
    def refused(self) -> list[Refusal]:
        """What was not taken."""
        return [Refusal(**one) for one in self.known["refused"]]

    @property
    def input(self) -> Input:
        """What it became."""
        made, files = self.known["input"], self.paths.to_pylist()
        copies = [[index, files[at]] for index, at in made["extra"]["copies"]]
        paths, extra = tuple(files[: made["paths"]]), {**made["extra"], "copies": copies}
        return Input(**{**made, "paths": paths, "extra": extra})


@dataclass(frozen=True)
class _Part:
    """The files of a folder.

    Args:
        folder: its path.
        digest: that it is known by.
        is_new: it was not known.
        files: their paths.
        hashes: that they are known by, uint64 (files,).
        owner: the record of each, int32 (files,); -1: none.
        place: in the record's files, int32 (files,).
    """

    folder: str
    digest: int
    is_new: bool
    files: pa.LargeStringArray
    hashes: np.ndarray
    owner: np.ndarray
    place: np.ndarray


class Known:
    """What the last plan made, to be asked and then made anew.

    Args:
        memory: where it is kept.
        secret: of the site; what is kept says nothing without it.
        marks: of options, key and version: of other ones nothing is known.
    """

    def __init__(self, memory: Memory, secret: str, marks: str) -> None:
        self._memory, self._marks = memory, marks
        self._secret = blake2b(secret.encode()).digest()
        self._records: list[dict[str, Any]] = []
        self._hashes = np.empty(0, np.uint64)
        self._owner = self._place = np.empty(0, np.int32)
        self._ranges: dict[int, tuple[int, int]] = {}  # of files, by their folder's digest
        self._parts: list[_Part] = []
        self._kept: list[dict[str, Any]] = []
        data = memory.load()
        if data is not None and len(data) >= SUM_BYTES + _HEAD.size:
            self._load(data)
        self._sizes = np.bincount(self._owner[self._owner >= 0], minlength=len(self._records))
        self._elsewhere = np.ones(len(self._hashes), bool)  # in folders that were not seen again

    def add(self, folder: Folder, timed: bool) -> None:
        """Count the files of a folder of the tree.

        Args:
            folder: as it is listed.
            timed: times of status changes and nodes are those of the raw files.
        """
        status = folder.status
        if not timed:
            status = status.copy()
            status[:, 2:] = 0
        _, ends, texts = folder.files.buffers()
        digest = self._hash(folder.path.encode(), ends, texts, status.tobytes())
        if digest in self._ranges:
            at = slice(*self._ranges[digest])
            self._elsewhere[at] = False
            known = self._hashes[at], self._owner[at], self._place[at]
        else:
            rows, paths = status.view("V32").reshape(-1).tolist(), folder.files.to_pylist()
            hashes = [self._hash(row, path.encode()) for row, path in zip(rows, paths, strict=True)]
            none = np.full(len(rows), -1, np.int32)
            known = np.array(hashes, np.uint64), none, none
        is_new = digest not in self._ranges
        self._parts.append(_Part(folder.path, digest, is_new, folder.files, *known))

    def recall(
        self,
        scan: Callable[[list[int], list[str]], Iterable[tuple[str, str, bool]]],
        damaged: set[str],
    ) -> list[Recalled]:
        """What is as it was; all else is scanned.

        Args:
            scan: scans files, given by numbers and paths; says of each its folder, the pseudonym of
                its series, and whether it is damaged.
            damaged: folders that hold something damaged besides.
        """
        self._look_up()
        owner = self._owner_now
        alive = np.bincount(owner[owner >= 0], minlength=len(self._records)) == self._sizes
        by_series: dict[str, list[int]] = defaultdict(list)
        for number, record in enumerate(self._records):
            if record["series"]:
                by_series[record["series"]].append(number)
        touched = {self._records[n]["series"] for n in np.flatnonzero(~alive)}
        done = np.zeros(len(owner), bool)
        while True:
            if damaged:
                beside = owner[~done & (owner >= 0) & self._within(damaged)]
                alive[beside] = False
                touched |= {self._records[n]["series"] for n in beside.tolist()}
            for series in touched - {""}:
                alive[by_series.get(series, [])] = False
            waiting = ((owner < 0) | ~alive[owner]) & ~done if len(alive) else ~done
            if not waiting.any():
                self._scanned = done
                return self._reused(alive)
            done |= waiting
            touched, damaged = set(), set()
            numbers = np.flatnonzero(waiting)
            for folder, series, is_damaged in scan(numbers.tolist(), self._listed(numbers)):
                touched.add(series)
                if is_damaged:
                    damaged.add(folder)

    def keep(self, records: list[Record]) -> None:
        """Keep what this plan made.

        Args:
            records: of what was scanned; such as are of no file of the tree are let go. The rest
                is kept as it was.
        """
        numbers = np.flatnonzero(self._scanned)
        number = dict(zip(self._listed(numbers), numbers.tolist(), strict=True))
        records = [one for one in records if one.files[0] in number]
        owner = np.where(self._scanned, -1, self._renamed[self._owner_now])
        place = self._place_now.copy()
        for at, record in enumerate(records, len(self._kept)):
            files = [number[path] for path in record.files]
            owner[files], place[files] = at, np.arange(len(files))
        encoded = [*self._kept, *(one.encode() for one in records)]
        said = json.dumps({"marks": self._marks, "records": encoded}).encode()
        packed = pa.compress(said, codec="zstd", asbytes=True)
        folders = [(part.digest, len(part.files)) for part in self._parts if len(part.files)]
        hashes = np.concatenate([part.hashes for part in self._parts])
        tables = (np.array(folders, np.uint64).T, hashes, owner.astype(np.int32), place)
        head = _HEAD.pack(len(packed), len(said), len(folders), len(hashes))
        body = head + packed + b"".join(table.tobytes() for table in tables)
        self._memory.keep(blake3(body).digest() + body)

    def _load(self, data: bytes) -> None:
        body = memoryview(data)[SUM_BYTES:]
        if blake3(body).digest() != data[:SUM_BYTES]:
            return
        packed, length, folders, files = _HEAD.unpack_from(body)
        rest = body[_HEAD.size :]
        said = json.loads(pa.decompress(rest[:packed], length, codec="zstd", asbytes=True))
        if said["marks"] != self._marks:
            return
        digests, counts = np.frombuffer(rest, np.uint64, 2 * folders, packed).reshape(2, -1)
        stops = np.cumsum(counts).tolist()
        self._ranges = dict(zip(digests.tolist(), itertools.pairwise([0, *stops]), strict=True))
        at = packed + 16 * folders
        self._hashes = np.frombuffer(rest, np.uint64, files, at)
        self._owner = np.frombuffer(rest, np.int32, files, at + 8 * files)
        self._place = np.frombuffer(rest, np.int32, files, at + 12 * files)
        self._records = said["records"]

    def _hash(self, *parts: "bytes | pa.Buffer") -> int:
        made = blake2b(digest_size=8, key=self._secret)
        for part in parts:
            made.update(part)
        return int.from_bytes(made.digest(), "little")

    def _look_up(self) -> None:
        """Find files one by one that lie in other folders, or among others, than before."""
        left = np.flatnonzero(self._elsewhere & (self._owner >= 0))
        left = left[np.argsort(self._hashes[left])]
        hashes = np.concatenate([part.hashes for part in self._parts])
        self._owner_now = np.concatenate([part.owner for part in self._parts])
        self._place_now = np.concatenate([part.place for part in self._parts])
        asked = np.flatnonzero(np.repeat([part.is_new for part in self._parts], self._counts))
        if len(left):
            at = np.searchsorted(self._hashes[left], hashes[asked])
            at = left[np.minimum(at, len(left) - 1)]
            hit = self._hashes[at] == hashes[asked]
            self._owner_now[asked[hit]] = self._owner[at[hit]]
            self._place_now[asked[hit]] = self._place[at[hit]]

    @property
    def _counts(self) -> list[int]:
        return [len(part.files) for part in self._parts]

    @cached_property
    def _paths(self) -> pa.LargeStringArray:
        """Of all files of the tree, in order."""
        return pa.concat_arrays([part.files for part in self._parts])

    def _listed(self, numbers: np.ndarray) -> list[str]:
        paths: list[str] = self._paths.take(numbers_of(numbers)).to_pylist()
        return paths

    def _within(self, folders: set[str]) -> np.ndarray:
        """Which files of the tree lie in one of some folders."""
        return np.repeat([part.folder in folders for part in self._parts], self._counts)

    def _reused(self, alive: np.ndarray) -> list[Recalled]:
        """What becomes of the records that stand, and of their files in order."""
        stand = np.flatnonzero(alive & (self._sizes > 0))
        self._renamed = np.full(len(alive) + 1, -1)  # by -1: none
        self._renamed[stand] = np.arange(len(stand))
        self._kept = [self._records[number] for number in stand.tolist()]
        owner = self._renamed[self._owner_now]
        files = np.flatnonzero(owner >= 0)
        ends = np.cumsum(np.concatenate([[0], self._sizes[stand]]))
        order = np.empty(len(files), np.int64)
        order[ends[owner[files]] + self._place_now[files]] = files
        parts = (self._paths.take(numbers_of(order[a:b])) for a, b in itertools.pairwise(ends))
        return [Recalled(*one) for one in zip(self._kept, parts, strict=True)]
