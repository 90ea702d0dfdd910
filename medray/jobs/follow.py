"""Attend to a submitted run until it ends: by what storage says, and by Ray only of its death."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

from medray.clock import SYSTEM, Clock
from medray.errors import InterruptedRun, MedrayError, RetryableError, SpecError, error_of
from medray.jobs.kept import Life
from medray.jobs.remote.queue import read_queue
from medray.jobs.remote.ray_jobs_api import ENDED, RayJobs
from medray.jobs.remote.submissions import Submission, life_of
from medray.jobs.status import events
from medray.lease import BEAT_S, GONE_S, Watch
from medray.steps.base.events import Event, Listener, Run, StepResult
from medray.storage.store.documents import decode
from medray.storage.store.objects import Objects

LOOK_S = 0.05  # at first: a run with nothing to do takes two seconds on its cluster
MOST_S = 1.0  # between two looks, once the run has gone on for long
SHARE = 0.02  # of the time that a run has taken, by which its end is seen too late at most
ASK_S = 5.0  # Ray, once the driver lives: storage knows better
SOON_S = 0.5  # until then: each question is work for the head, which is starting the driver
SILENT_S = 3 * BEAT_S  # of a driver that Ray says has ended
_TOLD = frozenset({"job", "step", "unit", "epoch", "contended", "done"})


def attend(
    objects: Objects,
    jobs: RayJobs,
    submission: Submission,
    on_event: Listener,
    stop: threading.Event,
) -> Run | None:
    """Wait until the run of a submission ends, and end as it did.

    Args:
        objects: the storage root.
        jobs: of the cluster; it may be gone for a while.
        submission: to attend to.
        on_event: told what happens.
        stop: set: leave; the run goes on without us, and None is returned.

    Raises:
        MedrayError: the run's own error, by the class that its exit status asks for.
        InterruptedRun: its driver is gone (code "driver-lost"): never taken for a success.
    """
    follower = _Follower(objects, jobs, submission, on_event)
    began = SYSTEM.monotonic()
    while not stop.wait(pause_after(SYSTEM.monotonic() - began)):
        ended = follower.look()
        if ended is not None:
            return ended
    return None


def pause_after(seconds: float) -> float:
    """How long to wait for the next look, once a run has been attended to for so long."""
    return min(max(LOOK_S, SHARE * seconds), MOST_S)


@dataclass
class _Follower:
    objects: Objects
    jobs: RayJobs
    submission: Submission
    on_event: Listener
    clock: Clock = SYSTEM
    pieces: set[str] = field(default_factory=set)
    steps: list[StepResult] = field(default_factory=list)
    error: dict[str, Any] = field(default_factory=dict)
    sign: str = ""
    watch: Watch[str] = field(init=False)
    asked: float = field(init=False)
    ahead: int = -1

    def __post_init__(self) -> None:
        self.watch, self.asked = Watch(self.clock), self.clock.monotonic()

    def look(self) -> Run | None:
        """The run, if it has ended well by now."""
        try:
            life = life_of(self.objects, self.submission)
            if life is not None:
                self._tell(life.session)
        except RetryableError:
            return None  # storage will be back; the driver waits for it as well
        if life is not None and life.state != "running":
            return self._end(life)
        self.sign = self._queue() if life is None else life.seen
        silent = self.watch.still_s(self.submission.id, self.sign)
        now = self.clock.monotonic()
        if now - self.asked > (SOON_S if life is None and not self.sign else ASK_S):
            self.asked = now
            self._judge(silent, begun=life is not None)
        return None

    def _tell(self, session: str) -> None:
        for fields in events(self.objects, self.submission.job, self.pieces, session):
            name = fields.pop("event")
            fields.pop("time")
            if name == "error":
                self.error = fields
            elif name in _TOLD:
                if name == "done":
                    told = json.dumps(fields).encode()
                    self.steps.append(decode(told, self.submission.job, StepResult))
                self.on_event(Event(name, fields))

    def _queue(self) -> str:
        """The last beat of one that waits for its turn; says so when others go before."""
        try:
            line = read_queue(self.objects, self.submission.cluster)
        except RetryableError:
            return self.sign
        for ahead, entry in enumerate(line):
            if entry.id == self.submission.id:
                if not entry.running and ahead != self.ahead:
                    self.ahead = ahead
                    self.on_event(Event("waiting", {"ahead": ahead}))
                return entry.seen
        return ""

    def _end(self, life: Life) -> Run:
        if life.state == "done":
            return Run(self.submission.job, self.steps)
        raise error_of(life.exit_status)(
            str(self.error.get("message", "the run failed")),
            code=str(self.error.get("code", "run-failed")),
            about=str(self.error.get("about", self.submission.job)),
            hint=str(self.error.get("hint") or f"`medray logs {self.submission.job}` says more"),
        )

    def _judge(self, silent: float, *, begun: bool) -> None:
        """Raise if there is nothing left to wait for."""
        try:
            known = self.jobs.job(self.submission.id)
        except (RetryableError, SpecError) as error:
            # A token is refused where another cluster has taken the place of the one that died.
            if silent > GONE_S:
                raise self._lost(f"{error.message}, and it gives no sign") from None
            return
        over = known is None or known["status"] in ENDED
        if begun:
            if silent > (SILENT_S if over else 2 * GONE_S):
                raise self._lost("its driver died")
        elif known is None:
            raise self._lost("the cluster knows nothing of it")
        elif over and life_of(self.objects, self.submission) is None:
            raise self._never_began(known)

    def _lost(self, why: str) -> InterruptedRun:
        return InterruptedRun(
            f"the run was lost: {why}",
            code="driver-lost",
            about=self.submission.job,
            hint=f"`medray resume {self.submission.job} --cluster NAME` goes on, on any cluster",
        )

    def _never_began(self, known: dict[str, Any]) -> MedrayError:
        """The driver ended before it wrote anything: what it said is all there is."""
        said = [line for line in self.jobs.output(self.submission.id).splitlines() if line.strip()]
        ours = [line for line in said if line.startswith("medray: ")]
        status = known.get("driver_exit_code")
        stopped = known["status"] == "STOPPED"
        kind = InterruptedRun if stopped else error_of(status)
        return kind(
            (ours or said or [str(known.get("message") or "it said nothing")])[-1].removeprefix(
                "medray: "
            ),
            code="never-began",
            about=self.submission.job,
            hint=f"`medray logs {self.submission.job} --driver` shows what it said",
        )
