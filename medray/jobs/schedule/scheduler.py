"""The scheduler: looks at every schedule again and again, claims due times, and runs them.

Any number of schedulers may work on one storage. What each due time becomes is decided by one
create-only write (its claim), who runs it by another (its lease), so none of them needs to know of
the others. Of one schedule, only the earliest unfinished claim may run: runs never overlap.
"""

import datetime
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from medray.clock import SYSTEM, Clock, stamp
from medray.errors import LEFT, InterruptedRun, MedrayError, RetryableError, SpecError
from medray.faults import point
from medray.ids import attempt_id
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import (
    Claim,
    Claims,
    End,
    Failure,
    Lease,
    Record,
    State,
    Verdict,
    claim_for,
)
from medray.jobs.schedule.start import Outcome, Start, Started
from medray.lease import GONE_S, Watch
from medray.log import event
from medray.spec.schedules import Schedule
from medray.storage.store.objects import Objects

TICK_S = 5.0
LOOK_S = 1.0  # at a run that somebody waits for
LATE_S = 300.0  # a due time noticed so much later was missed
RETRIES = 3  # of a run that failed in a way that trying again may mend
RETRY_S = 60.0
DRAIN_S = 20.0  # runs end within 10 s of being asked
AT_ONCE = 500  # due times decided in one look: a crontab of every minute, after weeks down


@dataclass
class Running:
    """A run of this scheduler's own."""

    claim: Claim
    lease: Lease
    tag: str
    started: Started
    stopped: bool = False


class Scheduler:
    """One scheduler. `tick` does all; `serve` ticks until told to stop.

    Args:
        objects: the storage root.
        start: starts the run of a claim.
        after: called with a claim when its run has ended for good.
        clock: tells the time.
        session: names this scheduler.
    """

    def __init__(
        self,
        objects: Objects,
        start: Start,
        *,
        after: Callable[[Claim], None] = lambda _: None,
        clock: Clock = SYSTEM,
        session: str = "",
    ) -> None:
        self.session = session or attempt_id()
        self.running: dict[str, Running] = {}
        self._objects, self._start, self._after, self._clock = objects, start, after, clock
        self._watch = Watch[tuple[str, str]](clock)
        self._rest: dict[tuple[str, str], float] = {}
        self._waiting = False

    def serve(self, stop: threading.Event, *, once: bool = False) -> None:
        """Tick until `stop`; then stop what is running, to be gone on with.

        Args:
            stop: ends it.
            once: end by itself when nothing is due and nothing runs.
        """
        while not stop.is_set():
            idle = self.tick()
            if once and idle:
                break
            until = self._clock.monotonic() + TICK_S
            while not stop.is_set() and self._clock.monotonic() < until:
                self._clock.sleep(min(0.5, TICK_S))
        self.drain()

    def tick(self) -> bool:
        """Look at every schedule once; whether there is nothing to wait for.

        A schedule that fails, for example because storage does, is tried again the next time.
        """
        self._waiting = False
        for name in [*self.running]:
            self._guarded(name, self._attend)
        for name in schedules.names(self._objects):
            self._guarded(name, self._look)
        return not self._waiting and not self.running

    def run_now(self, name: str, stop: threading.Event) -> Record:
        """Claim this very moment as a due time and run it here, whatever window and pause say.

        Returns:
            The due time; without an end, where it waits for another run or was stopped.

        Raises:
            SpecError: the moment is a due time already (code "claimed-already").
        """
        schedule = schedules.read(self._objects, name)
        claims = Claims(self._objects, name, self._clock)
        claim = claim_for(schedule, self._clock.now(), self.session, manual=True)
        if not claims.put(claim):
            raise SpecError("claimed a moment ago", code="claimed-already", about=name)
        if claims.unfinished()[0] == claim and self.take(claims, claim):
            while self.running and not stop.is_set():
                self._clock.sleep(LOOK_S)
                self._guarded(name, self._attend)
            self.drain()
        return claims.record(claim.due)

    def drain(self) -> None:
        """Leave all runs and give their leases back: whoever comes next goes on with them."""
        for run in self.running.values():
            run.started.leave()
            run.stopped = True
        until = self._clock.monotonic() + DRAIN_S
        while self.running and self._clock.monotonic() < until:
            for name in [*self.running]:
                self._guarded(name, self._give_back)
            self._clock.sleep(0.2)

    def _guarded(self, name: str, action: Callable[[str], None]) -> None:
        try:
            action(name)
        except MedrayError as error:
            self._waiting = True
            event("schedule-failed", schedule=name, code=error.code, about=error.about)
        except FileNotFoundError:
            event("schedule-gone", schedule=name)  # removed between two looks

    def _look(self, name: str) -> None:
        schedule = schedules.read(self._objects, name)
        claims = Claims(self._objects, name, self._clock)
        if not schedule.paused:
            self._decide(schedule, claims)
        unfinished = claims.unfinished()
        if unfinished and name not in self.running:
            self._take(schedule, claims, unfinished[0])

    def _decide(self, schedule: Schedule, claims: Claims) -> None:
        """Claim what has become due, each with its verdict, and remember how far that was."""
        now = self._clock.now()
        due = schedule.due_times(schedule.after, now)
        if not due:
            return
        begun = self._begun(claims)
        decided = due[:AT_ONCE]
        for at in decided:
            late = (now - at).total_seconds() > LATE_S
            verdict: Verdict = "run"
            missed = {"none": late, "last": at != due[-1], "all": False}
            if missed[schedule.catch_up]:
                verdict = "missed"
            elif schedule.overlap == "skip" and begun and at > begun:
                verdict = "overlap"
            claim = claim_for(schedule, at, self.session, verdict=verdict)
            if claims.put(claim) and verdict != "run":
                claims.end(claim.due, End(verdict, stamp(self._clock)))
            point("schedule.claimed")
        last = decided[-1]
        schedules.change(
            self._objects, schedule.name, lambda was: {"after": last} if was.after < last else {}
        )

    def _begun(self, claims: Claims) -> datetime.datetime | None:
        """Since when a run is under way, or was when its scheduler died."""
        for claim in claims.unfinished():
            lease, _ = claims.lease(claim.due)
            if lease is not None:
                return datetime.datetime.fromisoformat(lease.began)
        return None

    def _take(self, schedule: Schedule, claims: Claims, claim: Claim) -> None:
        """Run a claim, if it may run now and nobody alive has it."""
        lease, tag = claims.lease(claim.due)
        if lease is not None and lease.holder and not self._abandoned(claim, tag):
            return
        if self._rest.get((claim.schedule, claim.due), 0.0) > self._clock.monotonic():
            self._waiting = True
            return
        if not claim.manual and (schedule.paused or not schedule.open_at(self._clock.now())):
            return
        self.take(claims, claim, lease, tag)

    def take(
        self, claims: Claims, claim: Claim, lease: Lease | None = None, tag: str | None = None
    ) -> bool:
        """Lease a claim and start it; False: somebody else was faster.

        Args:
            claims: of its schedule.
            claim: to run.
            lease: that it has, given back or abandoned; None: it never had one.
            tag: of that lease.
        """
        now = stamp(self._clock)
        if lease is None:
            lease = Lease(self.session, began=now, seen=now)
        else:
            lease = replace(lease, holder=self.session, attempt=lease.attempt + 1)
        held = claims.hold(claim.due, lease, tag)
        if held is None:
            self._waiting = True
            return False
        point("schedule.leased")
        started = self._start(claim)
        point("schedule.started")
        self.running[claim.schedule] = Running(
            claim, replace(lease, beat=lease.beat + 1), held, started
        )
        event("schedule-started", schedule=claim.schedule, due=claim.due, run=claim.run)
        return True

    def _abandoned(self, claim: Claim, tag: str | None) -> bool:
        """Whether a lease has not changed for as long as a living holder never takes."""
        who = (claim.schedule, claim.due)
        # Seen to change: its holder lives, and nobody needs to wait for what it does.
        self._waiting = self._waiting or not self._watch.has_moved(who, tag)
        return self._watch.still_s(who, tag) > GONE_S

    def _attend(self, name: str) -> None:
        """Look after a run of our own: has it ended, may it go on, is it still ours."""
        run = self.running[name]
        claims = Claims(self._objects, name, self._clock)
        outcome = run.started.poll()
        if outcome is not None:
            self._ended(claims, run, outcome)
            return
        held = claims.hold(run.claim.due, run.lease, run.tag)
        if held is None:  # taken over while we slept, or the schedule was removed
            run.started.stop()
            del self.running[name]
            event("schedule-lost", schedule=name, due=run.claim.due, run=run.claim.run)
            return
        run.lease, run.tag = replace(run.lease, beat=run.lease.beat + 1), held
        schedule = schedules.read(self._objects, name)
        if not (run.claim.manual or run.stopped or schedule.open_at(self._clock.now())):
            run.stopped = True
            run.started.stop()

    def _ended(self, claims: Claims, run: Running, outcome: Outcome) -> None:
        due, status = run.claim.due, outcome.exit_status
        if status == RetryableError.exit_status and run.lease.failures < RETRIES:
            self._rest[run.claim.schedule, due] = self._clock.monotonic() + RETRY_S
            given = replace(run.lease, holder="", failures=run.lease.failures + 1)
            claims.hold(due, given, run.tag)
            del self.running[run.claim.schedule]
            return
        states: dict[int, State] = {0: "done", InterruptedRun.exit_status: "stopped"}
        now = self._clock.now()
        began = datetime.datetime.fromisoformat(run.lease.began)
        end = End(
            state=states.get(status, "failed"),
            exit_status=status,
            began=run.lease.began,
            ended=stamp(self._clock),
            seconds=max(0.0, round((now - began).total_seconds(), 3)),
            nodes=run.started.nodes,
            attempts=run.lease.attempt,
            job=outcome.result.get("job", ""),
            steps=outcome.result.get("steps", []),
            error=Failure(**failed) if (failed := outcome.result.get("error")) else None,
        )
        point("schedule.before-end")
        if claims.hold(due, run.lease, run.tag) is not None:
            claims.end(due, end)
            event("schedule-ended", schedule=run.claim.schedule, due=due, state=end.state)
            self._after(run.claim)
        del self.running[run.claim.schedule]

    def _give_back(self, name: str) -> None:
        """At the end of this scheduler: what ended by itself has ended, the rest can be gone on."""
        run = self.running[name]
        outcome = run.started.poll()
        if outcome is None:
            return
        claims = Claims(self._objects, name, self._clock)
        if outcome.exit_status in (InterruptedRun.exit_status, LEFT):
            claims.hold(run.claim.due, replace(run.lease, holder=""), run.tag)
            del self.running[name]
        else:
            self._ended(claims, run, outcome)
