"""Headers that need not be read again: what the last plan made of files that are as they were.

A nightly plan over a million headers, of which a thousandth are new, reads a thousandth. What is
kept holds no name, path or UID in the clear: of each file 64 bits of a keyed hash over path, size,
times and node; of each series what becomes an input, under its pseudonym; and refusals, as the
quarantine has them. Whatever is not whole, of other options, another key or another version is as
if it were not there.

A series is taken as it was only where all of its files are, and where nothing that was scanned now
belongs to it. Files beside a damaged one are never kept: what the damage means for them depends on
their whole folder.
"""

import json
import os
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from blake3 import blake3

from medray.formats.base import Input, Memory, Source
from medray.storage.records import Refusal

_STATUS = struct.Struct("<4q").pack
_HEAD = struct.Struct("<QQQ")  # bytes of the records, packed and not, and files; behind their sum
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
            made = {**asdict(self.input), "paths": len(self.input.paths)}
            made["extra"] = {**self.input.extra, "copies": copies}
        refused = [asdict(one) for one in self.refused]
        return {"series": self.series, "input": made, "refused": refused}

    @classmethod
    def decode(cls, known: dict[str, Any], files: list[str]) -> "Record":
        """What `encode` made, with the paths that the files have."""
        made = known["input"]
        if made is not None:
            copies = [[index, files[at]] for index, at in made["extra"]["copies"]]
            paths, extra = tuple(files[: made["paths"]]), {**made["extra"], "copies": copies}
            made = Input(**{**made, "paths": paths, "extra": extra})
        return cls(files, known["series"], made, [Refusal(**one) for one in known["refused"]])


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
        self.paths: list[str] = []
        self._hashes = bytearray()
        self._records: list[dict[str, Any]] = []
        self._keys = np.empty(0, np.uint64)
        self._owner = self._place = np.empty(0, np.int32)
        data = memory.load()
        if data is not None and len(data) >= SUM_BYTES + _HEAD.size:
            self._load(data)

    def add(self, source: Source, path: str, status: os.stat_result) -> None:
        """Count a file of the tree."""
        times = (status.st_ctime_ns, status.st_ino) if source.timed else (0, 0)
        data = _STATUS(status.st_size, status.st_mtime_ns, *times) + path.encode()
        self._hashes += blake2b(data, digest_size=8, key=self._secret).digest()
        self.paths.append(path)

    def recall(
        self, scan: Callable[[list[int]], Iterable[tuple[str, str, bool]]], damaged: set[str]
    ) -> list[Record]:
        """What is as it was; all else is scanned.

        Args:
            scan: scans files by their numbers; says of each its folder, the pseudonym of its
                series, and whether it is damaged.
            damaged: folders that hold something damaged besides.
        """
        at, hit = self._at()
        owner = np.where(hit, self._owner[at], -1) if len(self._keys) else np.full(len(hit), -1)
        alive = np.bincount(owner[owner >= 0], minlength=len(self._records)) == self._sizes
        by_series: dict[str, list[int]] = defaultdict(list)
        for number, record in enumerate(self._records):
            if record["series"]:
                by_series[record["series"]].append(number)
        touched = {self._records[n]["series"] for n in np.flatnonzero(~alive)}
        done = np.zeros(len(owner), bool)
        while True:
            if damaged:
                beside = [
                    number
                    for number in np.flatnonzero(~done & (owner >= 0)).tolist()
                    if self.paths[number].rpartition("/")[0] in damaged
                ]
                alive[owner[beside]] = False
                touched |= {self._records[n]["series"] for n in owner[beside].tolist()}
            for series in touched - {""}:
                alive[by_series.get(series, [])] = False
            waiting = ((owner < 0) | ~alive[owner]) & ~done if len(alive) else ~done
            if not waiting.any():
                return self._reused(at, owner, alive)
            done |= waiting
            touched, damaged = set(), set()
            for folder, series, is_damaged in scan(np.flatnonzero(waiting).tolist()):
                touched.add(series)
                if is_damaged:
                    damaged.add(folder)

    def keep(self, records: list[Record]) -> None:
        """Keep what this plan made."""
        number = {path: at for at, path in enumerate(self.paths)}
        files = [
            (number[path], n, at) for n, r in enumerate(records) for at, path in enumerate(r.files)
        ]
        table = np.array(files, np.int64).reshape(-1, 3)
        keys = np.frombuffer(bytes(self._hashes), np.uint64)[table[:, 0]]
        order = np.argsort(keys, kind="stable")
        arrays = keys[order].tobytes() + table[order, 1:].astype(np.int32).T.tobytes()
        said = json.dumps(
            {"marks": self._marks, "records": [one.encode() for one in records]}
        ).encode()
        packed = pa.compress(said, codec="zstd", asbytes=True)
        body = _HEAD.pack(len(packed), len(said), len(files)) + packed + arrays
        self._memory.keep(blake3(body).digest() + body)

    def _load(self, data: bytes) -> None:
        body = memoryview(data)[SUM_BYTES:]
        if blake3(body).digest() != data[:SUM_BYTES]:
            return
        packed, length, files = _HEAD.unpack_from(body)
        rest = body[_HEAD.size :]
        said = json.loads(pa.decompress(rest[:packed], length, codec="zstd", asbytes=True))
        if said["marks"] != self._marks:
            return
        self._keys = np.frombuffer(rest, np.uint64, files, packed)
        self._owner = np.frombuffer(rest, np.int32, files, packed + 8 * files)
        self._place = np.frombuffer(rest, np.int32, files, packed + 12 * files)
        self._records = said["records"]

    @property
    def _sizes(self) -> np.ndarray:
        return np.bincount(self._owner, minlength=len(self._records))

    def _at(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each file of the tree, where it stands in what is known, and whether it does."""
        hashes = np.frombuffer(bytes(self._hashes), np.uint64)
        if not len(self._keys):
            return np.zeros(len(hashes), np.int64), np.zeros(len(hashes), bool)
        at = np.minimum(np.searchsorted(self._keys, hashes), len(self._keys) - 1)
        return at, self._keys[at] == hashes

    def _reused(self, at: np.ndarray, owner: np.ndarray, alive: np.ndarray) -> list[Record]:
        if not len(alive):
            return []
        files = np.flatnonzero((owner >= 0) & alive[owner])
        order = np.lexsort((self._place[at[files]], owner[files]))
        return list(self._in_order(files[order], owner))

    def _in_order(self, files: np.ndarray, owner: np.ndarray) -> Iterator[Record]:
        ends = np.flatnonzero(np.diff(owner[files])) + 1
        for part in np.split(files, ends):
            if len(part):
                record = self._records[int(owner[part[0]])]
                yield Record.decode(record, [self.paths[number] for number in part.tolist()])
