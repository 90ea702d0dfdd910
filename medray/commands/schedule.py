"""Commands for jobs that run by the clock: schedule and what is below it, scheduler."""

import contextlib
import datetime
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medray.commands.output import json_option, print_json, print_table, say_damaged, storage_option
from medray.commands.pages import Pages
from medray.commands.run import attached, runs_jobs
from medray.errors import DataError

_COUNTS = ("committed", "skipped", "quarantined", "passed_over")  # of a due time's inputs

if TYPE_CHECKING:
    from medray.jobs.schedule.claims import Claim, Record
    from medray.spec.schedules import Schedule
    from medray.steps.base.events import Listener, Run
    from medray.storage.store.objects import Objects


@click.group()
def schedule() -> None:
    """Run jobs by the clock; `medray scheduler` does it."""


@schedule.command()
@click.argument("job", metavar="JOB")
@click.option(
    "--cron", required=True, metavar="EXPR", help='When: "0 22 * * *" is at ten each night.'
)
@click.option("--tz", default="UTC", metavar="ZONE", help="Time zone of --cron (default: UTC).")
@click.option("--name", metavar="NAME", help="Of the schedule (default: the job file's).")
@click.option(
    "--catch-up",
    type=click.Choice(["last", "all", "none"]),
    default="last",
    help="Which missed due times are made good (default: last).",
)
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue"]),
    default="skip",
    help="A due time that comes during a run is skipped, or waits (default: skip).",
)
@click.option("--window", metavar="FROM-TO", help="Runs stay inside it: 22:00-06:00.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="As of `medray run`.")
@click.option("--cluster", metavar="NAME", help="Cluster profile (default: local).")
@storage_option
def add(
    job: str, name: str | None, storage: str | None, overrides: tuple[str, ...], **fields: Any
) -> None:
    """Put a job on a schedule."""
    from medray.clock import SYSTEM
    from medray.jobs.schedule import schedules
    from medray.jobs.storage_by_name import open_storage

    made = schedules.add(
        open_storage(storage), name or Path(job).stem, job, overrides=overrides, **fields
    )
    click.echo(f"{made.name}: next due {_local(made.next_due(SYSTEM.now()), made.tz)}")


@schedule.command()
@storage_option
@json_option
def ls(storage: str | None, as_json: bool) -> None:
    """List the schedules, what is due next and how the last run ended."""
    from medray.clock import SYSTEM
    from medray.jobs.schedule import schedules
    from medray.jobs.schedule.claims import Claims
    from medray.jobs.storage_by_name import known_storage

    objects = known_storage(storage)
    rows = []
    damaged: list[DataError] = []
    for name in schedules.names(objects):
        try:
            one = schedules.read(objects, name)
            newest = next(Claims(objects, name, SYSTEM).history(1), None)
        except DataError as error:
            damaged.append(error)
            continue
        rows.append(
            {
                "name": name,
                "cron": one.cron,
                "tz": one.tz,
                "next": None if one.paused else one.next_due(SYSTEM.now()).isoformat(),
                "last": newest and newest.claim.at.isoformat(),
                "state": "paused" if one.paused else newest and _state(newest),
            }
        )
    if as_json:
        print_json({"schedules": rows, "damaged": [str(error) for error in damaged]})
    else:
        columns = ["name", "cron", "tz", "next", "last", "state"]
        print_table(columns, [[_here(row, column) for column in columns] for row in rows])
    say_damaged(damaged)


@schedule.command()
@click.argument("name", metavar="NAME")
@click.option("-n", "newest", default=20, metavar="N", help="Due times to show (default: 20).")
@storage_option
@json_option
def show(name: str, newest: int, storage: str | None, as_json: bool) -> None:
    """Show a schedule and its history, newest first."""
    from medray.clock import SYSTEM
    from medray.jobs.schedule import schedules
    from medray.jobs.schedule.claims import Claims
    from medray.jobs.storage_by_name import known_storage

    objects = known_storage(storage)
    one = schedules.read(objects, name)
    records = list(Claims(objects, name, SYSTEM).history(newest))
    if as_json:
        history = [{**asdict(record), "state": _state(record)} for record in records]
        print_json({"schedule": one.model_dump(mode="json"), "history": history})
        return
    facts = f"catch-up {one.catch_up}, overlap {one.overlap}, window {one.window or 'none'}"
    click.echo(f"{one.name}: {one.file} at {one.cron!r} {one.tz}; {facts}")
    if one.paused:
        click.echo("paused")
    columns = ["due", "state", "run", "attempts", "seconds", *_COUNTS]
    print_table(
        [column.replace("_", " ") for column in columns], [_row(one, record) for record in records]
    )


@schedule.command()
@click.argument("name", metavar="NAME")
@storage_option
def pause(name: str, storage: str | None) -> None:
    """Let nothing begin until `resume`."""
    from medray.jobs.schedule import schedules
    from medray.jobs.storage_by_name import known_storage

    schedules.pause(known_storage(storage), name)
    click.echo(f"{name}: paused")


@schedule.command()
@click.argument("name", metavar="NAME")
@storage_option
def resume(name: str, storage: str | None) -> None:
    """End a pause; what would have been due during it is not made good."""
    from medray.clock import SYSTEM
    from medray.jobs.schedule import schedules
    from medray.jobs.storage_by_name import known_storage

    one = schedules.resume(known_storage(storage), name)
    click.echo(f"{name}: next due {_local(one.next_due(SYSTEM.now()), one.tz)}")


@schedule.command()
@click.argument("name", metavar="NAME")
@storage_option
def rm(name: str, storage: str | None) -> None:
    """Remove a schedule with its history; what its runs made stays."""
    from medray.jobs.schedule import schedules
    from medray.jobs.storage_by_name import known_storage

    schedules.remove(known_storage(storage), name)
    click.echo(f"{name}: removed")


@schedule.command()
@click.argument("name", metavar="NAME")
@storage_option
def run(name: str, storage: str | None) -> None:
    """Run a schedule's job now, here, as if it were due."""
    from medray.errors import InterruptedRun
    from medray.jobs.schedule.scheduler import Scheduler
    from medray.jobs.schedule.start import Attached
    from medray.jobs.storage_by_name import open_storage

    objects = open_storage(storage)
    pages = Pages(storage)
    scheduler = Scheduler(objects, Attached(storage), after=pages)
    record = scheduler.run_now(name, _asked_to_stop())
    pages.wait()
    click.echo(f"{name}: {record.claim.due} {_state(record)}")
    if record.end is None:
        raise InterruptedRun(
            "it waits for a scheduler",
            code="not-ended",
            about=name,
            hint=f"`medray schedule show {name}` tells when it is done",
        )
    click.get_current_context().exit(record.end.exit_status)


@schedule.command()
@click.argument("name", metavar="NAME")
@click.option("--due", metavar="TIME", help="20261121T220000Z (default: the newest that ended).")
@click.option("--reference", metavar="TIME", help="Run to compare with (default: the first done).")
@storage_option
def page(name: str, due: str | None, reference: str | None, storage: str | None) -> None:
    """Write the morning page of a run: new, refused, drift, cost. Runs write it by themselves."""
    from medray.jobs.storage_by_name import known_storage
    from medray.report.morning import write_morning

    objects = known_storage(storage)
    path = write_morning(objects, name, due=due, reference=reference)
    click.echo(f"{objects.url.removeprefix('file://').rstrip('/')}/{path}")


@schedule.command(hidden=True)
@click.argument("name", metavar="NAME")
@click.argument("due", metavar="DUE")
@click.option("--parent", type=int, required=True, help="Process to end with.")
@storage_option
@runs_jobs
def start(name: str, due: str, parent: int, storage: str | None) -> None:
    """Run what is claimed for one due time, for the scheduler that started this process."""
    from medray.clock import SYSTEM
    from medray.jobs.run import run_documents
    from medray.jobs.schedule.claims import Claims
    from medray.jobs.schedule.start import die_with, is_elsewhere
    from medray.jobs.storage_by_name import open_storage
    from medray.spec.load import Source

    die_with(parent)
    claim: Claim = Claims(open_storage(storage), name, SYSTEM).claim(due)
    if is_elsewhere(claim):
        _submit(claim, storage, parent)
        return

    def begin(objects: "Objects", listen: "Listener", stop: threading.Event) -> "Run":
        source = Source(claim.file, claim.documents)
        return run_documents(source, objects, cluster=claim.cluster, on_event=listen, stop=stop)

    attached(begin, storage, name, as_json=True, report=True)


def _submit(claim: "Claim", storage: str | None, parent: int) -> None:
    """Submit what is claimed, once, and attend to it. The scheduler's SIGTERM cancels the run; its
    LEAVE, which the system sends when the scheduler is gone, leaves it alone."""
    from medray.commands.submit import attend_to
    from medray.errors import SpecError
    from medray.jobs.resume import cancel
    from medray.jobs.schedule.start import LEAVE, die_with
    from medray.jobs.submit import submit_documents
    from medray.spec.load import Source

    left, unwanted = threading.Event(), threading.Event()

    signal.signal(LEAVE, lambda *_: left.set())
    die_with(parent, LEAVE)
    signal.signal(signal.SIGTERM, lambda *_: unwanted.set())
    sent = submit_documents(
        Source(claim.file, claim.documents),
        cluster=str(claim.cluster),
        storage=storage,
        due=claim.run,
    )

    def end() -> None:
        unwanted.wait()
        with contextlib.suppress(SpecError):  # it has ended by itself
            cancel(sent.submission.job, storage=storage)

    threading.Thread(target=end, name="cancel", daemon=True).start()
    attend_to(sent, storage, as_json=True, left=left)


@click.command()
@click.option("--once", is_flag=True, help="End when nothing is due and nothing runs.")
@click.option(
    "--render",
    type=click.Choice(["systemd", "kubernetes"]),
    help="Print what runs it for good, and end.",
)
@click.option("--image", metavar="IMAGE", help="For --render kubernetes: with medray in it.")
@storage_option
def scheduler(once: bool, render: str | None, image: str | None, storage: str | None) -> None:
    """Run what is due, until stopped. Any number of these may share a storage."""
    from medray.jobs.provision import schedule_render

    if render == "systemd":
        click.echo(schedule_render.systemd(storage, str(Path.cwd())), nl=False)
        return
    if render == "kubernetes":
        click.echo(schedule_render.kubernetes(storage, image), nl=False)
        return
    from medray.jobs.schedule.scheduler import Scheduler
    from medray.jobs.schedule.start import Attached
    from medray.jobs.storage_by_name import open_storage
    from medray.storage.store.probe import probe

    objects = open_storage(storage)
    probe(objects)
    pages = Pages(storage)
    Scheduler(objects, Attached(storage), after=pages).serve(_asked_to_stop(), once=once)
    pages.wait()


def _asked_to_stop() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _state(record: "Record") -> str:
    if record.end is not None:
        return record.end.state
    return "running" if record.lease and record.lease.holder else "waiting"


def _row(one: "Schedule", record: "Record") -> list[object]:
    end = record.end
    head = [_local(record.claim.at, one.tz), _state(record), record.claim.run]
    if end is None or not end.began:
        return [*head, None, None, *(None for _ in _COUNTS)]
    units = [step["units"] for step in end.steps]
    counts = [sum(unit[key] for unit in units) for key in _COUNTS]
    return [*head, end.attempts, round(end.seconds), *counts]


def _here(row: dict[str, Any], column: str) -> object:
    """A cell of `ls`: times in the schedule's own zone."""
    if column not in ("next", "last") or row[column] is None:
        return row[column]
    return _local(datetime.datetime.fromisoformat(row[column]), row["tz"])


def _local(at: datetime.datetime, tz: str) -> str:
    from zoneinfo import ZoneInfo

    return at.astimezone(ZoneInfo(tz)).strftime("%Y-%m-%d %H:%M %Z")
