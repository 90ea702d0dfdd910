"""How jobs stand, told from storage alone: the driver may be gone, the ledger is not."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from medray.clock import SYSTEM, Clock
from medray.errors import DataError, SpecError
from medray.jobs.kept import (
    Life,
    job_of,
    job_record,
    lives,
    read_step,
    stored_result,
)
from medray.jobs.progress import Progress
from medray.jobs.remote.queue import read_queue
from medray.jobs.remote.submissions import Submission, marked
from medray.jobs.remote.submissions import newest as newest_submission
from medray.lease import GONE_S, told_ago_s
from medray.steps.base.events import StepResult
from medray.steps.base.plans import FORGET, read_plan
from medray.storage.catalog.ledger import Ledger
from medray.storage.store.documents import damaged
from medray.storage.store.objects import Objects

AHEAD = frozenset({"submitted", "waiting", "running"})  # states that something comes after
START_S = 900.0  # Ray gives a job so long to begin
_JOB = re.compile(r"job-[0-9a-f]+")
_RUN = re.compile(r"[a-z][a-z0-9_-]*-[0-9a-f]+")


@dataclass(frozen=True)
class StepStatus:
    """How one step stands.

    Args:
        run: its id.
        kind: of the step.
        output: name of what it makes.
        units: planned; 1 for a training.
        committed: of these.
        retries: attempts beyond the first of each unit.
        workers: that are at a unit, while the job runs.
        progress: as its driver told a few seconds ago.
        result: what it made, once it is done.
    """

    run: str
    kind: str
    output: str
    units: int
    committed: int
    retries: int
    workers: int
    progress: Progress
    result: StepResult | None


@dataclass(frozen=True)
class JobStatus:
    """How a job stands.

    Args:
        job: id of its run.
        name: of the job file.
        state: of the newest driver: running, done, interrupted, failed; "lost" if it was not seen
            for a minute and did not say that it ended. Of a submission without a driver:
            submitted, waiting (for its turn), lost.
        started: when that driver began, ISO 8601 in UTC.
        seen: when it was last seen.
        exit_status: that it ended with.
        steps: those that were begun.
        planned: how many steps the job has.
        dashboard: where Ray shows it, if it was submitted to a cluster.
        error: that ended the newest driver: code, message, about and hint; empty: none.
    """

    job: str
    name: str
    state: str
    started: str
    seen: str
    exit_status: int
    steps: list[StepStatus]
    planned: int
    dashboard: str
    error: dict[str, str]


@dataclass(frozen=True)
class Waiting:
    """In place of a driver's life, where there was none since the job was submitted, or ever."""

    started: str = ""
    seen: str = ""
    state: str = "lost"
    exit_status: int = 0
    steps: list[str] = field(default_factory=list)
    error: dict[str, str] = field(default_factory=dict)

    def progress(self, run: str) -> Progress:
        """None."""
        return Progress()


def jobs(
    objects: Objects, clock: Clock = SYSTEM, wrong: list[DataError] | None = None
) -> list[JobStatus]:
    """Every job, newest first.

    Args:
        objects: the storage root.
        clock: see `job_status`.
        wrong: takes what is wrong with jobs whose records can't be read; None: the first raises.
    """
    found = []
    for job in filter(_JOB.fullmatch, objects.folders("runs")):
        try:
            found.append(job_status(objects, job, clock))
        except DataError as error:
            if wrong is None:
                raise
            wrong.append(error)
    return sorted(found, key=lambda status: status.started, reverse=True)


def job_state(objects: Objects, job: str, clock: Clock = SYSTEM) -> str:
    """In one word how a job stands; its units are not counted, which for many takes a while."""
    return _newest_life(objects, job, clock)[1]


def job_status(objects: Objects, job: str, clock: Clock = SYSTEM) -> JobStatus:
    """How one job stands.

    Args:
        objects: the storage root.
        job: id as `find_job` gives it.
        clock: says how long a driver was not seen.
    """
    record = job_record(objects, job)
    newest, state, sent = _newest_life(objects, job, clock)
    return JobStatus(
        job=job,
        name=record.name,
        state=state,
        started=newest.started,
        seen=newest.seen,
        exit_status=newest.exit_status,
        steps=[_step(objects, run, newest, state) for run in newest.steps],
        planned=len(record.documents),
        dashboard=f"{sent.address}/#/jobs/{sent.id}" if sent else "",
        error=newest.error,
    )


def _newest_life(
    objects: Objects, job: str, clock: Clock
) -> tuple[Life | Waiting, str, Submission | None]:
    """What the newest driver says of itself, the job's state, and its newest submission."""
    drivers = list(lives(objects, job))
    newest: Life | Waiting = max(drivers, key=lambda life: life.started, default=Waiting())
    state: str = newest.state
    if state == "running":
        state = "lost" if told_ago_s(newest.seen, clock) > GONE_S else "running"
    sent = newest_submission(objects, job)
    if sent is not None and all(driver.submission != sent.number for driver in drivers):
        # Nothing of an earlier life is true of what was sent since.
        newest = Waiting(started=sent.at, seen=sent.at, steps=newest.steps)
        state = _before_it_runs(objects, sent, clock)
    return newest, state, sent


def _before_it_runs(objects: Objects, sent: Submission, clock: Clock) -> str:
    """The state of a submission whose driver has not written anything."""
    for entry in read_queue(objects, sent.cluster):
        if entry.id == sent.id:
            silent = told_ago_s(entry.seen or sent.at, clock) > GONE_S
            return "lost" if silent else "waiting"
    age = told_ago_s(sent.at, clock)
    return "lost" if age > (GONE_S if marked(objects, sent, "begun") else START_S) else "submitted"


def find_job(objects: Objects, run: str) -> str:
    """The job that `run` names: its id, the id of a step's run, or the beginning of either.

    Raises:
        SpecError: none, or several (code "no-such-run").
    """
    known = list(filter(_RUN.fullmatch, objects.folders("runs")))
    found = [name for name in known if name == run] or [n for n in known if n.startswith(run)]
    if len(found) != 1 or not run:
        raise SpecError(
            f"{len(found)} runs begin so" if found else "there is no such run",
            code="no-such-run",
            about=run,
            hint="`medray runs` lists them",
        )
    if found[0].startswith("job-"):
        return found[0]
    return job_of(objects, found[0])


def events(
    objects: Objects, job: str, seen: set[str], session: str = ""
) -> Iterator[dict[str, Any]]:
    """What happened in a job, in order, but for what `seen` holds; `seen` grows.

    Args:
        objects: the storage root.
        job: id as `find_job` gives it.
        seen: names of the pieces that were read before.
        session: of the driver that is meant; empty: all of them.
    """
    walked = objects.walk(f"runs/{job}/events")
    wrong: list[DataError] = []
    for path in sorted(entry.path for entry in walked if entry.path.endswith(".jsonl")):
        if path not in seen and session in path:
            lines = objects.get(path).splitlines()
            seen.add(path)  # once it is read: a store that fails is asked again
            try:
                happened = list(map(json.loads, lines))
            except (ValueError, RecursionError):
                happened = [None]
            yield from (one for one in happened if isinstance(one, dict))
            if not all(isinstance(one, dict) for one in happened):
                wrong.append(damaged(path, FORGET))
    if wrong:
        raise wrong[0]


def _step(objects: Objects, run: str, life: Life | Waiting, state: str) -> StepStatus:
    spec = read_step(objects, run)
    result = stored_result(objects, run)
    output = spec.output or (result.output.partition("@")[0] if result else "")
    progress = life.progress(run)
    try:
        plan = read_plan(objects, run, ["unit"])
    except FileNotFoundError:
        made = int(result is not None)
        return StepStatus(run, spec.kind, output, 1, made, 0, 0, progress, result)
    units = set(plan["unit"].to_pylist())
    ledger = Ledger(objects, output)
    done = units & ledger.done()
    newest = {unit: last for unit, last in ledger.newest().items() if unit in units}
    # One that died is among them until it is tried again.
    at_work = sum(not ended and unit not in done for unit, (_, ended) in newest.items())
    return StepStatus(
        run,
        spec.kind,
        output,
        len(units),
        len(done),
        sum(number - 1 for number, _ in newest.values()),
        at_work if state == "running" else 0,
        progress,
        result,
    )
