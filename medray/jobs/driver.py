"""What a driver writes down about a job: its documents, its life, its events; and what it is told.

<root>/runs/<job>/job.json                      the job's documents, to run them again
<root>/runs/<job>/drivers/<session>.json        a driver's life: when it was seen, how its step goes
<root>/runs/<job>/events/<session>-<n>.jsonl    what happened
<root>/runs/<job>/cancel                        somebody wants the job to stop
<root>/runs/<step>/spec.json, plan.parquet, result.json, job.json, spent.json
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from medray.clock import SYSTEM, Clock, stamp
from medray.errors import DamageError, InterruptedRun, MedrayError, RetryableError, status_of
from medray.ids import RUN_DIGITS, attempt_id, short
from medray.jobs.progress import Pulse
from medray.lease import BEAT_S
from medray.log import event as log_event
from medray.spec.load import Source
from medray.steps.base.plans import write_plan
from medray.storage.store.documents import Finite, keep, read
from medray.storage.store.objects import Objects
from medray.veil import veiled

if TYPE_CHECKING:
    from medray.steps.base.planned import Planned

State = Literal["running", "done", "interrupted", "failed"]
LOOK_S = 1.0


@dataclass(frozen=True)
class _Spent:
    """What spent.json holds."""

    seconds: Finite


class Driver:
    """One driver's life on one job. A thread of its own beats, writes events and looks for a mark.

    Args:
        objects: the storage root.
        job: id of the job's run.
        stop: set when somebody cancels the job.
        submission: number of the submission that it drives; 0: it was started here.
    """

    def __init__(
        self, objects: Objects, job: str, stop: threading.Event, submission: int = 0
    ) -> None:
        self.session = attempt_id()
        self.job = job
        self._objects, self._stop, self._submission = objects, stop, submission
        self._root = f"runs/{job}"
        self._started = stamp()
        self._steps: list[str] = []
        self._error: dict[str, str] = {}
        self._lines: list[str] = []
        self._pulse = Pulse()
        self._lock = threading.Lock()
        self._written = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="driver-record", daemon=True)

    def __enter__(self) -> Self:
        if not self._submission:
            # A mark left by the life before is not meant for this one.
            self._objects.delete([f"{self._root}/cancel"])
        self._beat("running", 0)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        broken: State = "interrupted" if isinstance(error, InterruptedRun) else "failed"
        state: State = "done" if error is None else broken
        # The error at hand matters more than a store that can't take the record of it.
        with contextlib.suppress(RetryableError) if error else contextlib.nullcontext():
            if isinstance(error, Exception):
                self._error = told(error)
                self.event("error", **self._error)
            self._flush()
            self._beat(state, status_of(error))

    def step(self, run: str, spec: str, planned: "Planned | None") -> None:
        """Write down a step before its work begins."""
        self._steps.append(run)
        root = f"runs/{run}"
        keep(self._objects, f"{root}/spec.json", spec.encode())
        keep(self._objects, f"{root}/job.json", json.dumps({"job": self.job}).encode())
        if planned is not None:
            write_plan(self._objects, run, planned)
        self._beat("running", 0)

    def event(self, name: str, **fields: Any) -> None:
        """Write down that `name` happened; `fields` are ids, counts, codes and durations."""
        line = json.dumps({"time": stamp(), "event": name, **fields}, default=str)
        with self._lock:
            self._lines.append(line)
            self._pulse.take(name, fields)

    def _watch(self) -> None:
        passed = 0.0
        while not self._ended.wait(LOOK_S):
            passed += LOOK_S
            try:
                self._flush()
                if passed >= BEAT_S:
                    passed = 0.0
                    self._beat("running", 0)
                if self._objects.exists(f"{self._root}/cancel"):
                    self._stop.set()
            except RetryableError:
                log_event("record-failed", job=self.job)

    def _flush(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        if lines:
            self._written += 1
            # The time first: names in order are events in order.
            began = "".join(filter(str.isdigit, self._started))
            name = f"{began[:17]}-{self.session}-{self._written:06d}.jsonl"
            data = "".join(f"{line}\n" for line in lines).encode()
            self._objects.put(f"{self._root}/events/{name}", data)

    def _beat(self, state: State, status: int) -> None:
        with self._lock:
            step = self._pulse.tell()
        life = {
            "session": self.session,
            "submission": self._submission,
            "started": self._started,
            "seen": stamp(),
            "state": state,
            "exit_status": status,
            "steps": self._steps,
            "step": step,
            "error": self._error,
        }
        self._objects.put(f"{self._root}/drivers/{self.session}.json", json.dumps(life).encode())


def told(error: Exception) -> dict[str, str]:
    """What is said of the error that ended a run: code, message, about and hint, without secrets.

    Of one that nobody foresaw the type alone: a library's message can quote the file it choked on.
    """
    if not isinstance(error, MedrayError):
        message, hint = type(error).__name__, "`medray --debug run` shows where"
        return {"code": "bug", "message": message, "about": "", "hint": hint}
    said = {"message": error.message, "about": error.about, "hint": error.hint}
    return {"code": error.code, **{name: veiled(text) for name, text in said.items()}}


def job_id(source: Source) -> str:
    """Id of the run of a job: equal documents, their variables filled in, equal id."""
    filled = [source.filled(index) for index in range(len(source.documents))]
    return f"job-{short(filled)[:RUN_DIGITS]}"


def keep_job(objects: Objects, source: Source, cluster: str | None, job: str = "") -> str:
    """Write a job's documents down, to run them from anywhere; returns the id of the job's run.

    Args:
        objects: the storage root.
        source: of the job, its variables as they stand.
        cluster: profile that it was asked to run on.
        job: id of a run that goes on, maybe where variables have other values; empty: by content.
    """
    job = job or job_id(source)
    record = {"name": source.name, "documents": source.documents, "cluster": cluster}
    keep(objects, f"runs/{job}/job.json", json.dumps(record).encode())
    return job


@contextlib.contextmanager
def timed(objects: Objects, step_run: str, clock: Clock = SYSTEM) -> Iterator[None]:
    """Keep the time of a step's run that is not ended: the next one adds it to its own."""
    began = clock.monotonic()
    try:
        yield
    except BaseException:
        spent = spent_s(objects, step_run) + clock.monotonic() - began
        # The error at hand matters more.
        with contextlib.suppress(RetryableError):
            objects.put(f"runs/{step_run}/spent.json", json.dumps({"seconds": spent}).encode())
        raise


def spent_s(objects: Objects, step_run: str) -> float:
    """Seconds that earlier runs of a step took without coming to its end."""
    try:
        return read(objects, f"runs/{step_run}/spent.json", _Spent).seconds
    except (FileNotFoundError, DamageError):  # it only adds to what a report says
        return 0.0
