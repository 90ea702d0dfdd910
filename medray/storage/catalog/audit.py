"""The audit log: who made which version, and when. Append-only, each entry chained to the last.

<root>/audit/<number>.json holds an entry with the hash of the entry before it; audit/HEAD names the
last one, so that a log cut at its end is noticed too. Entries are written create-only: of two
writers after the same entry one wins, and the other goes after the winner.
"""

import getpass
import hashlib
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medray.clock import SYSTEM, Clock, stamp
from medray.errors import DataError
from medray.ids import canonical
from medray.storage.store.documents import Count, decode, read
from medray.storage.store.objects import Objects

HEAD = "audit/HEAD"
GENESIS = "0" * 64
CHAIN = "restore it from a backup; or `medray repair` writes down in the log that it is damaged"
ACCEPT = "accept-damage"
_NAME = re.compile(r"(\d{9})\.json")


@dataclass(frozen=True)
class Entry:
    """One entry.

    Args:
        number: from 1.
        at: time in UTC.
        who: user and machine.
        what: was done, e.g. "ingest" or "gc".
        about: which version, as name@version.
        details: ids and counts.
        previous: hash of the entry before; zeros for the first.
    """

    number: Count
    at: str
    who: str
    what: str
    about: str
    details: dict[str, Any]
    previous: str

    def encode(self) -> bytes:
        """Canonical JSON, which is also what the hash is taken over."""
        return canonical(self.__dict__)

    @property
    def sha256(self) -> str:
        """What the next entry holds as `previous`."""
        return hashlib.sha256(self.encode()).hexdigest()


@dataclass(frozen=True)
class _Head:
    number: Count
    sha256: str


def record(
    objects: Objects,
    *,
    what: str,
    about: str,
    details: dict[str, Any] | None = None,
    clock: Clock = SYSTEM,
) -> Entry:
    """Append an entry; safe among concurrent writers."""
    number, previous = _last(objects)
    while True:
        entry = Entry(number + 1, stamp(clock), _who(), what, about, details or {}, previous)
        if objects.put_new(_path(entry.number), entry.encode()):
            _advance(objects, entry)
            return entry
        winner = _read(objects, entry.number)
        number, previous = entry.number, _sha256(winner)


def accept(objects: Objects, paths: Sequence[str], clock: Clock = SYSTEM) -> Entry:
    """Write down that objects of the log are damaged; `verify` takes them as they are from now on.

    An entry can't be made anew, only vouched for: who accepted which bytes, and when, is part of
    the chain. A damaged HEAD is made anew, by the entries that stand.
    """
    accepted = {path: _standing(objects, path) for path in paths}
    try:
        _head(objects)
    except DataError:
        objects.delete([HEAD])
    return record(objects, what=ACCEPT, about="audit", details=accepted, clock=clock)


def _standing(objects: Objects, path: str) -> str:
    try:
        return _sha256(objects.get(path))
    except FileNotFoundError:
        return ""


def entries(objects: Objects) -> list[dict[str, Any]]:
    """All entries that can be read, in order."""
    found = []
    for number in _numbers(objects):
        try:
            entry = decode(_read(objects, number), _path(number), Entry)
        except DataError:
            continue  # `verify` names it
        found.append(asdict(entry))
    return found


def verify(objects: Objects) -> list[str]:
    """What is wrong with the log: entries deleted, altered or out of order. Empty: nothing."""
    head: _Head | DataError | None
    try:
        head = _head(objects)  # before the entries: whoever writes meanwhile moves it after its own
    except DataError as error:
        head = error
    numbers = _numbers(objects)
    if not numbers and head is None:
        return []
    wrong = []
    previous: str | None = GENESIS
    for expected in range(1, max(numbers, default=0) + 1):
        if expected not in numbers:
            wrong.append(f"{_path(expected)}: the entry was deleted")
            previous = None
            continue
        data = _read(objects, expected)
        try:
            entry = decode(data, _path(expected), Entry)
        except DataError:
            wrong.append(f"{_path(expected)}: not an entry")
            previous = None
            continue
        if entry.number != expected:
            wrong.append(f"{_path(expected)}: holds entry {entry.number}: the order was changed")
        elif previous is not None and entry.previous != previous:
            wrong.append(f"{_path(expected - 1)}: altered since {_path(expected)} was written")
        previous = _sha256(data)
    wrong += _check_head(objects, head, numbers)
    accepted: dict[str, Any] = {}
    for one in entries(objects) if wrong else ():
        accepted |= one["details"] if one["what"] == ACCEPT else {}

    def stands(fault: str) -> bool:
        path = fault.partition(": ")[0]
        return path == HEAD or accepted.get(path) != _standing(objects, path)

    return list(filter(stands, wrong))


def _head(objects: Objects) -> _Head | None:
    try:
        return read(objects, HEAD, _Head, CHAIN)
    except FileNotFoundError:
        return None


def _check_head(objects: Objects, head: _Head | DataError | None, numbers: list[int]) -> list[str]:
    if isinstance(head, DataError):
        return [f"{HEAD}: {head.message}"]
    if head is None:
        # A writer that died right after the very first entry leaves no HEAD, and nobody later.
        return [f"{HEAD}: deleted"] if len(numbers) > 1 and _head(objects) is None else []
    if head.number > max(numbers, default=0):
        gone = f"{max(numbers, default=0) + 1} to {head.number}"
        return [f"{HEAD}: names entry {head.number}; entries {gone} were deleted"]
    if head.number in numbers and _sha256(_read(objects, head.number)) != head.sha256:
        return [f"{_path(head.number)}: altered since it was written"]
    return []


def _last(objects: Objects) -> tuple[int, str]:
    """Number and hash of the last entry that HEAD knows; later ones are met when writing."""
    head = _head(objects)
    return (head.number, head.sha256) if head is not None else (0, GENESIS)


def _advance(objects: Objects, entry: Entry) -> None:
    """Move HEAD to `entry`, unless it is further already."""
    while True:
        tag: str | None = None
        try:
            data, tag = objects.get_tagged(HEAD)
            if decode(data, HEAD, _Head, CHAIN).number >= entry.number:
                return
        except FileNotFoundError:
            pass
        if objects.swap(HEAD, canonical({"number": entry.number, "sha256": entry.sha256}), tag):
            return


def _numbers(objects: Objects) -> list[int]:
    names = (item.path.removeprefix("audit/") for item in objects.walk("audit"))
    return sorted(int(found[1]) for found in map(_NAME.fullmatch, names) if found)


def _path(number: int) -> str:
    return f"audit/{number:09d}.json"


def _read(objects: Objects, number: int) -> bytes:
    return objects.get(_path(number))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())  # a container's user may have no name
    return f"{user}@{platform.node()}"
