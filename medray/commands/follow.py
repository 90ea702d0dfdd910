"""Commands that tell how jobs stand: runs, status, logs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from medray.commands.output import json_option, print_json, print_table, say_damaged, storage_option
from medray.errors import DataError
from medray.lease import BEAT_S

if TYPE_CHECKING:
    from medray.jobs.status import JobStatus, StepStatus
    from medray.storage.store.objects import Objects

LOOK_S = 1.0
MOST_S = 15.0  # between two tries, while storage or cluster are away


@click.command()
@storage_option
@json_option
def runs(storage: str | None, as_json: bool) -> None:
    """List the jobs that were run, newest first."""
    from medray.jobs.status import jobs
    from medray.jobs.storage_by_name import known_storage

    damaged: list[DataError] = []
    found = jobs(known_storage(storage), wrong=damaged)
    if as_json:
        said = [str(error) for error in damaged]
        print_json({"runs": [asdict(status) for status in found], "damaged": said})
        say_damaged(damaged)
        return
    print_table(
        ["run", "job", "state", "steps", "started", "error"],
        [
            [
                status.job,
                status.name,
                status.state,
                f"{sum(step.result is not None for step in status.steps)} of {status.planned}",
                status.started[:19],
                status.error.get("code", ""),
            ]
            for status in found
        ],
    )
    say_damaged(damaged)


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Show it anew until the job ends.")
@storage_option
@json_option
def status(run: str, follow: bool, storage: str | None, as_json: bool) -> None:
    """Say how a job stands, from what storage holds."""
    from medray.jobs.status import AHEAD, find_job, job_status
    from medray.jobs.storage_by_name import known_storage

    objects = known_storage(storage)
    job = find_job(objects, run)
    while True:
        began = time.monotonic()
        found = job_status(objects, job)
        going = follow and found.state in AHEAD
        if not as_json:
            if follow and sys.stdout.isatty():
                click.clear()
            _print_status(found)
        elif not going:  # one object
            print_json(asdict(found))
        if not going:
            return
        # Large ledgers take a while to list: looking takes a fifth of the time at most.
        time.sleep(max(BEAT_S, 4 * (time.monotonic() - began)))


def _print_status(found: "JobStatus") -> None:
    click.echo(f"{found.job}  {found.name}  {found.state}, last seen {found.seen[:19]}")
    if found.error:
        about = f"{found.error['about']}: " if found.error["about"] else ""
        hint = f" ({found.error['hint']})" if found.error["hint"] else ""
        click.echo(f"{about}{found.error['message']} [{found.error['code']}]{hint}")
    if found.dashboard:
        click.echo(f"in Ray: {found.dashboard}")
    columns = ["step", "output", "units", "committed", "at work", "failed", "retries"]
    columns += ["quarantined", "and single samples", "passed over"]
    going = found.state == "running"
    rows = [_row(step, going=going and step.result is None) for step in found.steps]
    print_table([*columns, "MiB", "inputs/s", "left", "run"], rows)


def _row(step: "StepStatus", *, going: bool) -> list[object]:
    told = step.progress
    left = str(timedelta(seconds=told.left_s)) if going and told.left_s is not None else ""
    return [
        step.kind,
        step.result.output if step.result else step.output,
        step.units,
        step.committed,
        step.workers,
        told.units.get("failed", 0),
        step.retries,
        step.result.units.quarantined if step.result else told.quarantined,
        sum(step.result.samples_quarantined.values()) if step.result else told.samples_quarantined,
        step.result.units.passed_over if step.result else told.passed_over,
        round(told.bytes / 2**20, 1),
        told.per_s if going else "",
        left,
        step.run,
    ]


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--driver", is_flag=True, help="What the driver of a submitted job prints, from Ray.")
@storage_option
def logs(run: str, follow: bool, driver: bool, storage: str | None) -> None:
    """Print what happened in a job, one JSON object a line."""
    from medray.errors import RetryableError
    from medray.jobs.status import AHEAD, find_job, job_state
    from medray.jobs.storage_by_name import known_storage

    objects = known_storage(storage)
    job = find_job(objects, run)
    said = _of_driver(objects, job) if driver else _of_storage(objects, job)
    pause = LOOK_S
    while True:
        try:
            # Asked before reading: what is written until then is read below.
            going = follow and job_state(objects, job) in AHEAD
            for line in said():
                click.echo(line)
        except RetryableError as error:
            if not follow:
                raise
            click.echo(f"medray: {error.code}, trying again", err=True)
            going, pause = True, min(2 * pause, MOST_S)
        else:
            pause = LOOK_S
        if not going:
            return
        time.sleep(pause)


def _of_storage(objects: "Objects", job: str) -> Callable[[], Iterator[str]]:
    from medray.jobs.status import events

    seen: set[str] = set()
    return lambda: (json.dumps(event) for event in events(objects, job, seen))


def _of_driver(objects: "Objects", job: str) -> Callable[[], Iterator[str]]:
    """Whole new lines of what the driver printed; Ray gives all of it each time."""
    from medray.errors import SpecError
    from medray.jobs.remote.ray_jobs_api import connect
    from medray.jobs.remote.submissions import newest
    from medray.spec.profiles import RayCluster

    submission = newest(objects, job)
    if submission is None:
        raise SpecError("the job was never submitted", code="not-submitted", about=job)
    jobs = connect(RayCluster.model_validate(submission.profile), patience_s=2)
    told = 0

    def lines() -> Iterator[str]:
        nonlocal told
        found = jobs.output(submission.id).splitlines()
        fresh, told = found[told:], max(told, len(found))
        yield from fresh

    return lines
