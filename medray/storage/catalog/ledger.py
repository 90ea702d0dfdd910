"""The ledger: which units were attempted and which one attempt of each is committed.

It lives in storage, never in Ray. An attempt is recorded before the work, so a unit that kills
its worker leaves a trace; a commit is one object that is written once, so of any number of
attempts, zombies and second drivers included, exactly one wins, and none whose files gc took.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from medray.clock import SYSTEM, Clock, stamp
from medray.errors import DamageError
from medray.faults import point
from medray.ids import attempt_id, short
from medray.log import event
from medray.storage.catalog.attempts import Attempt, History
from medray.storage.catalog.commit import Commit
from medray.storage.store import documents
from medray.storage.store.fence import FENCE_BYTES, fence_of, new_fence, settle, take, taken
from medray.storage.store.objects import Objects
from medray.storage.store.threads import spread

if TYPE_CHECKING:
    from medray.storage.catalog.commits import Commits
    from medray.storage.catalog.pack import Pack

FEW = 64  # commits, that are read faster than a listing and a pack
HELD = 2048  # commits with their lists of files, at a time


def successor_path(dataset: str, unit: str) -> str:
    """Where it stands that a unit gave way to another."""
    return f"datasets/{dataset}/successors/{unit}.json"


def successor(unit: str) -> str:
    """Id of the unit that takes the place of `unit`."""
    return short({"successor_of": unit})


def commit_path(dataset: str, unit: str) -> str:
    """Where the record of a unit's commit stands."""
    return f"datasets/{dataset}/commits/{unit}.json"


class Ledger:
    """The ledger of one dataset.

    Args:
        objects: the storage root.
        dataset: name of the dataset that the units make.
        session: names this driver's life. Deaths are counted within it only, so that killing the
            driver again and again never condemns the units that were in flight. Empty: all
            deaths count, for workers that live and die with their driver.
        max_attempts: deaths of a unit before it goes careful, and of an input before it is
            condemned.
        clock: stamps the records.
    """

    def __init__(
        self,
        objects: Objects,
        dataset: str,
        *,
        session: str = "",
        max_attempts: int = 3,
        clock: Clock = SYSTEM,
    ) -> None:
        self.dataset, self.session, self.max_attempts = dataset, session, max_attempts
        self._objects, self._clock = objects, clock
        self._root = f"datasets/{dataset}"
        self._fresh: list[Pack] = []

    def committed(self, units: Iterable[str]) -> "Commits":
        """The commits of those of `units` that have one, in this order.

        They come without the lists of files, which over many units would fill a driver's memory.
        What `pack` packed is not read again.
        """
        # pyarrow takes 0.2 s, which a command need not pay that only looks for a run's state.
        from medray.storage.catalog.commits import Commits
        from medray.storage.catalog.pack import Pack, read_pack

        wanted = list(units)
        if len(wanted) <= FEW:
            return self._read_all(wanted)
        commits, tags = read_pack(self._objects, self.dataset)
        place = {unit: number for number, unit in enumerate(commits.units)}
        known, other = bytearray(len(tags)), dict[str, str]()
        for unit, tag in self._standing():
            number = place.get(unit)
            if number is not None and tags[number] == tag != "":
                known[number] = True
            else:
                other[unit] = tag
        numbers = [place[unit] for unit in wanted if unit in place]
        rest = [unit for unit in wanted if unit in other]
        packed = commits.take([number for number in numbers if known[number]])
        if not rest:
            return packed
        fresh = self._read_all(rest)
        self._fresh.append(Pack(fresh, [other[unit] for unit in fresh.units]))
        found = Commits.joined([packed, fresh])
        here = set(found.units)
        return found.of_units(unit for unit in wanted if unit in here)

    def _read_all(self, units: list[str]) -> "Commits":
        """Commits, each from its own record."""
        from medray.storage.catalog.commits import Commits

        groups = (units[start : start + HELD] for start in range(0, len(units), HELD))
        with ThreadPoolExecutor(self._objects.profile.concurrency) as pool:
            found = (spread(pool, self.commit_of, group) for group in groups)
            return Commits.joined(Commits.of(filter(None, group)) for group in found)

    def pack(self) -> None:
        """Pack the commits that `committed` had to read one by one, if they are more than a few."""
        if sum(len(fresh.commits) for fresh in self._fresh) <= FEW:
            return
        from medray.storage.catalog.pack import add_to_pack

        add_to_pack(self._objects, self.dataset, self._fresh)
        self._fresh = []

    def done(self) -> set[str]:
        """Every unit that has a commit, told from a listing alone."""
        return {unit for unit, _ in self._standing()}

    def _standing(self) -> Iterator[tuple[str, str]]:
        """Every unit that has a record, and its ETag."""
        folder = f"{self._root}/commits/"
        for path, size, _, etag in self._objects.walk(folder[:-1]):
            name = path.removeprefix(folder)
            if size != FENCE_BYTES and "/" not in name:
                yield name.removesuffix(".json"), etag

    def commit_of(self, unit: str) -> Commit | None:
        """The unit's commit, or None."""
        return self.look(unit)[0]

    def look(self, unit: str) -> tuple[Commit | None, str]:
        """The unit's commit, or None and the fence that stands in its place, if any."""
        path = commit_path(self.dataset, unit)
        try:
            data = self._objects.get(path)
        except FileNotFoundError:
            return None, ""
        fence = fence_of(data)
        return (Commit.decode(data, path), "") if fence is None else (None, fence)

    def history(self, unit: str) -> "History":
        """How earlier attempts at `unit` ended."""
        folder = self._folder(unit)
        names = {entry.path.rsplit("/", 1)[1] for entry in self._objects.walk(folder)}
        ended = {name.split(".")[0] for name in names if name.endswith(".end.json")}
        unexplained, marks, last = 0, Counter[str](), 0
        for name in names:
            number, _, kind = name.partition(".")
            if not number.isdecimal():
                continue
            last = max(last, int(number))
            if kind != "json" or number in ended:
                continue
            if self.session and self._read(f"{folder}/{name}").get("session") != self.session:
                continue
            marked = f"{number}.at.json"
            key = str(self._read(f"{folder}/{marked}").get("input", "")) if marked in names else ""
            if key:
                marks[key] += 1
            else:
                unexplained += 1
        return History(
            last=last,
            careful=unexplained + marks.total() >= self.max_attempts,
            unexplained=unexplained,
            condemned=frozenset(key for key, count in marks.items() if count >= self.max_attempts),
        )

    def newest(self) -> dict[str, tuple[int, bool]]:
        """Number of the newest attempt at each unit that was begun, and whether it ended alive."""
        found: dict[str, tuple[int, bool]] = {}
        for entry in self._objects.walk(f"{self._root}/attempts"):
            *_, unit, name = entry.path.split("/")
            text, _, kind = name.partition(".")
            if not text.isdecimal():
                continue
            number, ended = int(text), kind == "end.json"
            last, alive = found.get(unit, (0, False))
            if number >= last:
                found[unit] = (number, ended or (alive and number == last))
        return found

    def begin(
        self, unit: str, history: "History | None" = None, fence: str | None = None
    ) -> Attempt:
        """Record an attempt at `unit`; to be called before anything that could kill the worker.

        Args:
            unit: its id.
            history: of the unit, where the caller has looked already.
            fence: as `look` told before, where the caller has looked already.
        """
        fence = self.look(unit)[1] if fence is None else fence
        history = history or self.history(unit)
        attempt = Attempt(
            unit=unit,
            id=attempt_id(),
            number=history.last + 1,
            careful=history.careful,
            condemned=history.condemned,
            fence=fence,
        )
        record = {"attempt": attempt.id, "session": self.session, "at": stamp(self._clock)}
        path = f"{self._folder(unit)}/{attempt.number:04d}.json"
        if not self._objects.put_new(path, json.dumps(record).encode()) and (
            # The store may have taken our write and lost its answer.
            self._read(path).get("attempt") != attempt.id
        ):
            return self.begin(unit)  # another worker took this number; look again
        point("attempt.begun")
        return attempt

    def mark(self, attempt: Attempt, key: str) -> None:
        """Say which input a careful attempt is about to touch; empty: it is past them all."""
        self._objects.put(
            f"{self._folder(attempt.unit)}/{attempt.number:04d}.at.json",
            json.dumps({"input": key}).encode(),
        )

    def end(self, attempt: Attempt, outcome: str) -> None:
        """Say that an attempt ended alive but without a commit of its own: it is no death."""
        self._objects.put(
            f"{self._folder(attempt.unit)}/{attempt.number:04d}.end.json",
            json.dumps({"outcome": outcome, "at": stamp(self._clock)}).encode(),
        )

    def shard_path(self, attempt: Attempt) -> str:
        """Where the attempt may write; nobody else ever will."""
        return f"{self._root}/shards/{attempt.unit}-{attempt.id}"

    def commit(self, attempt: Attempt, commit: Commit) -> Commit:
        """Commit the attempt's shard, or learn who won. Returns the commit that stands.

        Raises:
            RetryableError: gc has taken what the attempt wrote (code "taken").
        """
        path = commit_path(self.dataset, attempt.unit)
        point("commit.before-record")
        won = settle(self._objects, path, attempt.fence, commit.encode())
        point("commit.after-record")
        if won:
            return commit
        winner = self.commit_of(attempt.unit)
        if winner is not None and winner.attempt == attempt.id:
            return commit  # the store took our write, lost its answer, and we asked again
        self._objects.delete(f"{commit.shard.path}/{name}" for name in commit.shard.files)
        if winner is None:
            raise taken(attempt.unit)
        self.end(attempt, "superseded")
        return winner

    def give_way(self, unit: str, code: str) -> None:
        """Let plans to come have the unit done again, under another id; see
        `medray.steps.base.successors`."""
        record = {"codes": [code], "at": stamp(self._clock)}
        self._objects.put_new(successor_path(self.dataset, unit), json.dumps(record).encode())

    def take(self, unit: str) -> bool:
        """Let no attempt at a unit that was begun until now commit; see `store.fence`."""
        return take(self._objects, commit_path(self.dataset, unit))

    def drop(self, units: Iterable[str]) -> None:
        """Forget units that served their purpose, and what they wrote. No version may name it."""
        for unit in units:
            records = [entry.path for entry in self._objects.walk(self._folder(unit))]
            commit = self.commit_of(unit)
            if commit is not None:
                path = commit_path(self.dataset, unit)
                # The record goes first: a commit without its shard would be damage.
                if [self._read(one).get("attempt") for one in records] == [commit.attempt]:
                    self._objects.delete([path])
                else:  # another attempt may sleep, and gc may have what it wrote
                    standing, tag = self._objects.get_tagged(path)
                    if fence_of(standing) is None:
                        self._objects.swap(path, new_fence(), tag)
                self._objects.delete(f"{commit.shard.path}/{name}" for name in commit.shard.files)
            self._objects.delete(records)

    def _folder(self, unit: str) -> str:
        return f"{self._root}/attempts/{unit}"

    def _read(self, path: str) -> dict[str, Any]:
        """A record of an attempt; empty where it is gone or damaged. They only count deaths."""
        try:
            return documents.read(self._objects, path, dict[str, Any])
        except (FileNotFoundError, DamageError):
            event("attempt-damaged", level=logging.WARNING, path=path)
            return {}
