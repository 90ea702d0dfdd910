"""How jobs stand, told from storage alone: the driver may be gone, the ledger is not."""

import datetime
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from medray.clock import SYSTEM, Clock
from medray.errors import SpecError
from medray.jobs.events import StepResult
from medray.jobs.line import read_line
from medray.jobs.pulse import Progress
from medray.jobs.record import GONE_S, stored_result
from medray.jobs.submissions import Submission, marked
from medray.jobs.submissions import newest as newest_submission
from medray.storage.ledger import Ledger
from medray.storage.objects import Objects

AHEAD = frozenset({"submitted", "waiting", "running"})  # states that something comes after
START_S = 900.0  # Ray gives a job so long to begin


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


def jobs(objects: Objects, clock: Clock = SYSTEM) -> list[JobStatus]:
    """Every job, newest first."""
    found = [name for name in objects.folders("runs") if name.startswith("job-")]
    return sorted(
        (job_status(objects, job, clock) for job in found),
        key=lambda status: status.started,
        reverse=True,
    )


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
    record = json.loads(objects.get(f"runs/{job}/job.json"))
    newest, state, sent = _newest_life(objects, job, clock)
    return JobStatus(
        job=job,
        name=record["name"],
        state=state,
        started=newest["started"],
        seen=newest["seen"],
        exit_status=newest["exit_status"],
        steps=[_step(objects, run, newest, state) for run in newest["steps"]],
        planned=len(record["documents"]),
        dashboard=f"{sent.address}/#/jobs/{sent.id}" if sent else "",
        error=dict(newest.get("error") or {}),
    )


def _newest_life(
    objects: Objects, job: str, clock: Clock
) -> tuple[dict[str, Any], str, Submission | None]:
    """What the newest driver says of itself, the job's state, and its newest submission."""
    drivers = [json.loads(objects.get(e.path)) for e in objects.walk(f"runs/{job}/drivers")]
    newest: dict[str, Any] = max(
        drivers,
        key=lambda driver: str(driver["started"]),
        default={"state": "lost", "started": "", "seen": "", "exit_status": 0, "steps": []},
    )
    state = newest["state"]
    if state == "running":
        state = "lost" if unseen_s(newest, clock) > GONE_S else "running"
    sent = newest_submission(objects, job)
    if sent is not None and all(driver.get("submission") != sent.number for driver in drivers):
        # Nothing of an earlier life is true of what was sent since.
        newest = {"started": sent.at, "seen": sent.at, "exit_status": 0, "steps": newest["steps"]}
        state = _before_it_runs(objects, sent, clock)
    return newest, state, sent


def _before_it_runs(objects: Objects, sent: Submission, clock: Clock) -> str:
    """The state of a submission whose driver has not written anything."""
    for entry in read_line(objects, sent.cluster):
        if entry.id == sent.id:
            silent = unseen_s({"seen": entry.seen}, clock) > GONE_S
            return "lost" if silent else "waiting"
    age = unseen_s({"seen": sent.at}, clock)
    return "lost" if age > (GONE_S if marked(objects, sent, "begun") else START_S) else "submitted"


def unseen_s(life: dict[str, Any], clock: Clock = SYSTEM) -> float:
    """For how long a driver has not said that it lives."""
    return (clock.now() - datetime.datetime.fromisoformat(life["seen"])).total_seconds()


def find_job(objects: Objects, run: str) -> str:
    """The job that `run` names: its id, the id of a step's run, or the beginning of either.

    Raises:
        SpecError: none, or several (code "no-such-run").
    """
    known = objects.folders("runs")
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
    return str(json.loads(objects.get(f"runs/{found[0]}/job.json"))["job"])


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
    paths = sorted(entry.path for entry in objects.walk(f"runs/{job}/events"))
    for path in paths:
        if path not in seen and session in path:
            lines = objects.get(path).splitlines()
            seen.add(path)  # once it is read: a store that fails is asked again
            yield from map(json.loads, lines)


def _step(objects: Objects, run: str, life: dict[str, Any], state: str) -> StepStatus:
    import pyarrow.parquet as pq

    spec = json.loads(objects.get(f"runs/{run}/spec.json"))
    result = stored_result(objects, run)
    output = spec.get("output") or (result.output.partition("@")[0] if result else "")
    progress = Progress.read(life, run)
    try:
        plan = pq.ParquetFile(io.BytesIO(objects.get(f"runs/{run}/plan.parquet"))).read(
            use_threads=False
        )
    except FileNotFoundError:
        made = int(result is not None)
        return StepStatus(run, spec["kind"], output, 1, made, 0, 0, progress, result)
    units = set(plan["unit"].to_pylist())
    ledger = Ledger(objects, output)
    done = units & ledger.done()
    newest = {unit: last for unit, last in ledger.newest().items() if unit in units}
    # One that died is among them until it is tried again.
    at_work = sum(not ended and unit not in done for unit, (_, ended) in newest.items())
    return StepStatus(
        run,
        spec["kind"],
        output,
        len(units),
        len(done),
        sum(number - 1 for number, _ in newest.values()),
        at_work if state == "running" else 0,
        progress,
        result,
    )
