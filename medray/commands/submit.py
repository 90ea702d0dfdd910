"""Commands for jobs on clusters: submit, resume there or here, and what runs there."""

import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from medray.commands.output import json_option, print_json, storage_option
from medray.commands.run import SHOWN, attached, job_options, report_error
from medray.errors import LEFT, MedrayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from medray.jobs.submit import Sent
    from medray.steps.base.events import Event, Listener, Run
    from medray.storage.store.objects import Objects

set_option = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="As of `medray run`."
)
priority_option = click.option(
    "--priority", type=int, metavar="N", help="Higher goes first (default: the profile's)."
)


@click.command()
@click.argument("job", metavar="JOB")
@click.option("--cluster", metavar="NAME", required=True, help="Cluster profile of kind ray.")
@set_option
@storage_option
@click.option("--wait", is_flag=True, help="Show progress, and end as the run does.")
@priority_option
@json_option
def submit(
    job: str,
    cluster: str,
    overrides: tuple[str, ...],
    storage: str | None,
    wait: bool,
    priority: int | None,
    as_json: bool,
) -> None:
    """Run a job file on a Ray cluster; submitted again, it is joined and not started twice."""
    from medray.jobs.submit import submit as submit_job

    sent = submit_job(job, cluster=cluster, storage=storage, overrides=overrides, priority=priority)
    if wait:
        attend_to(sent, storage, as_json=as_json)
    else:
        _say(sent, as_json=as_json)


@click.command()
@click.argument("run", metavar="RUN")
@job_options
@priority_option
def resume(
    run: str,
    cluster: str | None,
    storage: str | None,
    as_json: bool,
    report: bool,
    priority: int | None,
) -> None:
    """Go on with a job where it stopped, here or on a cluster; waits until it ends."""
    from medray.jobs.resume import cluster_of
    from medray.jobs.resume import resume as resume_job
    from medray.jobs.submit import resubmit

    there = cluster_of(run, storage=storage, cluster=cluster)
    if there is not None:

        def send() -> "Sent":
            return resubmit(run, cluster=there, storage=storage, priority=priority)

        attend_to(send(), storage, as_json=as_json, again=send)
        return

    def start(objects: "Objects", listen: "Listener", stop: threading.Event) -> "Run":
        return resume_job(run, storage=objects, cluster=cluster, on_event=listen, stop=stop)

    attached(start, storage, "", as_json=as_json, report=report)


@click.command(hidden=True)
@click.argument("job", metavar="JOB")
@click.argument("number", metavar="NUMBER", type=int)
@job_options
def drive(
    job: str, number: int, cluster: str, storage: str | None, as_json: bool, report: bool
) -> None:
    """What a submission runs on its cluster."""
    from medray.jobs.drive import drive as drive_job

    def start(objects: "Objects", listen: "Listener", stop: threading.Event) -> "Run":
        return drive_job(job, number, objects=objects, cluster=cluster, on_event=listen, stop=stop)

    attached(start, storage, "", as_json=as_json, report=report)


def _say(sent: "Sent", *, as_json: bool) -> None:
    submission = sent.submission
    if as_json:
        print_json(
            {
                "run": submission.job,
                "cluster": submission.cluster,
                "submission": submission.id,
                "fresh": sent.fresh,
            }
        )
        return
    how = "submitted to" if sent.fresh else "already on"
    click.echo(f"{submission.job}: {how} {submission.cluster}")
    click.echo(f"`medray status {submission.job}` says how it stands")


def attend_to(
    sent: "Sent",
    storage: str | None,
    *,
    as_json: bool,
    left: threading.Event | None = None,
    again: "Callable[[], Sent] | None" = None,
) -> None:
    """Show a submitted run until it ends, then end as it did.

    Args:
        sent: what is attended to.
        storage: see `medray.jobs.storage_by_name.open_storage`.
        as_json: print one JSON object.
        left: set by Ctrl-C, and by whoever else wants it: the run is left alone.
        again: sends it once more, if what was joined as under way turns out to be dead.
    """
    import rich.table  # noqa: F401 - of the account; now, while the cluster starts the driver

    from medray.commands.progress import print_account, watcher
    from medray.jobs.follow import attend
    from medray.jobs.remote.ray_jobs_api import connect
    from medray.jobs.storage_by_name import open_storage
    from medray.spec.profiles import RayCluster

    submission = sent.submission
    steps: list[dict[str, Any]] = []
    watch = watcher()
    left = left or threading.Event()

    def listen(event: "Event") -> None:
        if event.name == "done":
            steps.append({key: event.fields[key] for key in SHOWN})
        watch(event)

    def leave(_number: int, _frame: FrameType | None) -> None:
        left.set()

    profile = RayCluster.model_validate(submission.profile)
    before = signal.signal(signal.SIGINT, leave)
    try:
        with watch, connect(profile, patience_s=2) as jobs:
            done = attend(open_storage(storage), jobs, submission, listen, left)
    except MedrayError as error:
        if again and not sent.fresh and error.code == "driver-lost":
            attend_to(again(), storage, as_json=as_json, left=left)
            return
        if as_json:
            report_error(steps, error)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if done is None:
        click.echo(f"medray: left; {submission.job} goes on", err=True)
        sys.exit(LEFT)
    if as_json:
        print_json({"steps": steps, "job": done.id, "submission": submission.id})
        return
    print_account(done.steps)
    click.echo(f"run {done.id}")
