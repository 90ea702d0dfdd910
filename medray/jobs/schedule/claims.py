"""Due times in storage: each is claimed once, leased to one scheduler at a time, and ended once.

<root>/schedules/<name>/due/<UTC time>.json         the claim: what is to become of it; create-only
                        due/<UTC time>.lease.json   who runs it now; moved by compare-and-swap
                        due/<UTC time>.end.json     how it ended; create-only

A claim without an end is work to do, whoever made the claim: its run keeps its id. Whether the
holder of a lease lives is told by watching the lease (`medray.lease`).
"""

import datetime
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, TypeAdapter

from medray.clock import Clock, stamp
from medray.ids import short
from medray.jobs.schedule.schedules import ROOT
from medray.lease import beaten
from medray.spec.schedules import Schedule
from medray.steps.base.events import StepResult
from medray.storage.store.documents import Count, Finite, Moment, decode
from medray.storage.store.objects import Objects

Verdict = Literal["run", "missed", "overlap"]
State = Literal["done", "stopped", "failed", "missed", "overlap"]
_FORM = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z(\.lease|\.end)?\.json")
DAMAGED = "restore it from a backup, or `medray schedule rm` and add it again"


def _due(text: str) -> str:
    datetime.datetime.strptime(text, _FORM)  # noqa: DTZ007 - only whether it is one
    return text


def _steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    _RESULTS.validate_json(json.dumps(steps), strict=True)
    return steps


Due = Annotated[str, AfterValidator(_due)]
_RESULTS = TypeAdapter(list[StepResult])
Steps = Annotated[list[dict[str, Any]], AfterValidator(_steps)]


@dataclass(frozen=True)
class Claim:
    """What is to become of one due time.

    Args:
        schedule: its name.
        due: the time, as `due_name` writes it.
        verdict: run it; or it was "missed" (the catch-up policy leaves it), or is an "overlap".
        run: id of the run, a hash of schedule, due time, job and cluster: started again, it is the
            same run.
        file: what the job is called.
        documents: of the job.
        cluster: to run on.
        manual: somebody asked for it; the window does not bound it.
        by: the session that claimed it.
    """

    schedule: str
    due: Due
    verdict: Verdict
    run: str
    file: str
    documents: list[dict[str, Any]]
    cluster: str | None
    manual: bool
    by: str

    @property
    def at(self) -> datetime.datetime:
        """The due time."""
        return parse_due(self.due)


@dataclass(frozen=True)
class Lease:
    """Who runs a claim. An empty holder has given it back.

    Args:
        holder: session of a scheduler.
        began: when its run was first started, ISO 8601.
        seen: when the holder was last there, for people.
        beat: grows.
        attempt: how many times the run was started, or was about to be.
        failures: how many of these ended in a way that trying again may mend.
    """

    holder: str
    began: Moment
    seen: Moment
    beat: Count = 0
    attempt: Count = 1
    failures: Count = 0


@dataclass(frozen=True)
class Failure:
    """Why a run failed, as `medray run --json` tells it; see `MedrayError`."""

    code: str
    message: str
    about: str
    hint: str
    exit_status: int


@dataclass(frozen=True)
class End:
    """How a due time ended.

    Args:
        state: done; stopped (at the end of the window, or cancelled: it can go on); failed;
            missed and overlap: nothing was to be done.
        exit_status: of the run.
        began: when it was first started; "" if it never was.
        ended: when it was over.
        seconds: between these.
        nodes: that it ran on.
        attempts: how many times it was started.
        job: id of the job's run.
        steps: results, as `medray run --json` has them.
        error: where it failed, and could say so.
    """

    state: State
    ended: Moment
    exit_status: Count = 0
    began: Moment | Literal[""] = ""
    seconds: Finite = 0.0
    nodes: Count = 0
    attempts: Count = 0
    job: str = ""
    steps: Steps = field(default_factory=list)
    error: Failure | None = None


@dataclass(frozen=True)
class Record:
    """A due time as storage knows it; no end: it is still to be done."""

    claim: Claim
    lease: Lease | None
    end: End | None


def due_name(at: datetime.datetime) -> str:
    """A due time as a name that sorts: 20261121T220000Z."""
    return at.astimezone(datetime.UTC).strftime(_FORM)


def parse_due(name: str) -> datetime.datetime:
    """The time that `due_name` wrote."""
    return datetime.datetime.strptime(name, _FORM).replace(tzinfo=datetime.UTC)


def claim_for(
    schedule: Schedule,
    at: datetime.datetime,
    by: str,
    *,
    verdict: Verdict = "run",
    manual: bool = False,
) -> Claim:
    """The claim of one due time, resolved: what runs does not depend on the schedule any more."""
    due = due_name(at)
    job = [schedule.documents, schedule.cluster]
    return Claim(
        schedule=schedule.name,
        due=due,
        verdict=verdict,
        run=f"due-{short([schedule.name, due, job])[:12]}",
        file=schedule.file,
        documents=schedule.documents,
        cluster=schedule.cluster,
        manual=manual,
        by=by,
    )


class Claims:
    """The due times of one schedule."""

    def __init__(self, objects: Objects, schedule: str, clock: Clock) -> None:
        self.schedule = schedule
        self._objects, self._clock = objects, clock
        self._root = f"{ROOT}/{schedule}/due"

    def put(self, claim: Claim) -> bool:
        """Claim a due time; False: it is claimed already."""
        data = json.dumps(asdict(claim)).encode()
        path = f"{self._root}/{claim.due}.json"
        # The store may have taken our write and lost its answer.
        return self._objects.put_new(path, data) or self._objects.get(path) == data

    def names(self) -> tuple[list[str], list[str]]:
        """Due times: all that are claimed, and those of them that have not ended; in order."""
        walked = self._objects.walk(self._root)
        names = (entry.path.removeprefix(f"{self._root}/") for entry in walked)
        found = set(filter(_NAME.fullmatch, names))
        claimed = sorted(name.split(".")[0] for name in found if name.count(".") == 1)
        return claimed, [due for due in claimed if f"{due}.end.json" not in found]

    def unfinished(self) -> list[Claim]:
        """What is still to be done, in order."""
        found = []
        for due in self.names()[1]:
            claim = self.claim(due)
            if claim.verdict == "run":
                found.append(claim)
            else:  # killed between claim and end
                self.end(due, End(claim.verdict, stamp(self._clock)))
        return found

    def claim(self, due: str) -> Claim:
        """The claim of one due time.

        Raises:
            FileNotFoundError: there is none.
        """
        claim: Claim = self._read(Claim, f"{due}.json")
        return claim

    def lease(self, due: str) -> tuple[Lease | None, str | None]:
        """The lease of a due time, and its tag for `hold`; (None, None): nobody ever had it."""
        path = f"{self._root}/{due}.lease.json"
        try:
            data, tag = self._objects.get_tagged(path)
        except FileNotFoundError:
            return None, None
        return self._decode(Lease, data, path), tag

    def hold(self, due: str, lease: Lease, tag: str | None) -> str | None:
        """Take, keep or give back a lease that still has `tag`; its new tag, or None: it moved."""
        path = f"{self._root}/{due}.lease.json"
        lease = beaten(lease, self._clock)
        data = json.dumps(asdict(lease)).encode()
        try:
            self._objects.swap(path, data, tag)
            # What stands there decides: the store may have taken our write and lost its answer.
            now, new = self._objects.get_tagged(path)
        except FileNotFoundError:  # the schedule was removed
            return None
        return new if now == data else None

    def end(self, due: str, end: End) -> bool:
        """Write down how a due time ended; False: it has ended already."""
        data = json.dumps(asdict(end)).encode()
        return self._objects.put_new(f"{self._root}/{due}.end.json", data)

    def record(self, due: str) -> Record:
        """All that is known of one due time."""
        try:
            end: End | None = self._read(End, f"{due}.end.json")
        except FileNotFoundError:
            end = None
        return Record(self.claim(due), self.lease(due)[0], end)

    def history(self, newest: int) -> Iterator[Record]:
        """The newest due times that were claimed, newest first."""
        for due in reversed(self.names()[0][-newest:]):
            yield self.record(due)

    def _read(self, kind: type[Any], name: str) -> Any:
        path = f"{self._root}/{name}"
        return self._decode(kind, self._objects.get(path), path)

    @staticmethod
    def _decode(kind: type[Any], data: bytes, path: str) -> Any:
        return decode(data, path, kind, DAMAGED)
