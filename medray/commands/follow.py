"""Commands that tell how jobs stand: runs, status, logs."""

import json
import time
from dataclasses import asdict

import click

from medray.commands.output import json_option, print_json, print_table, storage_option

LOOK_S = 1.0


@click.command()
@storage_option
@json_option
def runs(storage: str | None, as_json: bool) -> None:
    """List the jobs that were run, newest first."""
    from medray.jobs.session import open_storage
    from medray.jobs.status import jobs

    found = jobs(open_storage(storage))
    if as_json:
        print_json({"runs": [asdict(status) for status in found]})
        return
    print_table(
        ["run", "job", "state", "steps", "started"],
        [
            [
                status.job,
                status.name,
                status.state,
                f"{sum(step.result is not None for step in status.steps)} of {status.planned}",
                status.started[:19],
            ]
            for status in found
        ],
    )


@click.command()
@click.argument("run", metavar="RUN")
@storage_option
@json_option
def status(run: str, storage: str | None, as_json: bool) -> None:
    """Say how a job stands, from what storage holds."""
    from medray.jobs.session import open_storage
    from medray.jobs.status import find_job, job_status

    objects = open_storage(storage)
    found = job_status(objects, find_job(objects, run))
    if as_json:
        print_json(asdict(found))
        return
    click.echo(f"{found.job}  {found.name}  {found.state}, last seen {found.seen[:19]}")
    print_table(
        ["step", "run", "output", "units", "committed"],
        [
            [
                step.kind,
                step.run,
                step.result.output if step.result else step.output,
                step.units,
                step.committed,
            ]
            for step in found.steps
        ],
    )


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@storage_option
def logs(run: str, follow: bool, storage: str | None) -> None:
    """Print what happened in a job, one JSON object a line."""
    from medray.jobs.session import open_storage
    from medray.jobs.status import events, find_job, job_status

    objects = open_storage(storage)
    job = find_job(objects, run)
    seen: set[str] = set()
    while True:
        # Asked before reading: what is written until then is read below.
        running = follow and job_status(objects, job).state == "running"
        for event in events(objects, job, seen):
            click.echo(json.dumps(event))
        if not running:
            return
        time.sleep(LOOK_S)
