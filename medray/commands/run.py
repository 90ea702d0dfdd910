"""Commands that run jobs here, attached, and can be stopped: run, cancel, demo."""

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from medray.allocator import keep_freed_memory
from medray.commands.output import json_option, print_json, storage_option
from medray.errors import InterruptedRun, MedrayError

if TYPE_CHECKING:
    from medray.steps.base.events import Event, Listener, Run
    from medray.storage.store.objects import Objects

DRAIN_S = 10.0
DEMO_SUBJECTS = 12
DEMO_SEED = 0

# Of a step in --json; programs rely on it.
SHOWN = (
    *("kind", "run", "output", "digest", "units", "samples_quarantined"),
    *("metrics", "cautions"),
)

Start = Callable[["Objects", "Listener", threading.Event], "Run"]


def runs_jobs(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose process may run networks: it keeps what they free.

    That has to be said before numpy is loaded. Its idle thread has an arena of glibc's by then, and
    every second thread would get that one, which maps large arrays anew each time: 300,000 page
    faults in three volumes, 5 to 10 % of an inline prediction.
    """

    @functools.wraps(command)
    def prepared(*args: Any, **options: Any) -> None:
        keep_freed_memory()
        command(*args, **options)

    return prepared


def job_options(command: Callable[..., None]) -> Any:
    """Options of every command that runs a job; see `runs_jobs`."""
    command = runs_jobs(command)
    for option in (
        click.option("--cluster", metavar="NAME", help="Cluster profile (default: local)."),
        storage_option,
        json_option,
        click.option("--report/--no-report", default=True, help="Write the HTML page at the end."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("job", metavar="JOB")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value: train.epochs=3, or in one step: 2.train.epochs=3, NAME.train.epochs=3.",
)
@job_options
def run(
    job: str,
    overrides: tuple[str, ...],
    cluster: str | None,
    storage: str | None,
    as_json: bool,
    report: bool,
) -> None:
    """Run a job file to its end; what is committed already is skipped."""
    from medray.jobs.run import run as run_job

    def start(objects: "Objects", listen: "Listener", stop: threading.Event) -> "Run":
        return run_job(
            job, storage=objects, cluster=cluster, overrides=overrides, on_event=listen, stop=stop
        )

    attached(start, storage, Path(job).stem, as_json=as_json, report=report)


@click.command()
@click.argument("run", metavar="RUN")
@storage_option
def cancel(run: str, storage: str | None) -> None:
    """Ask the driver of a job to stop; it can be resumed."""
    from medray.jobs.resume import cancel as cancel_job

    job = cancel_job(run, storage=storage)
    click.echo(f"{job}: asked to stop; `medray status {job}` says when it has")


@click.command()
@click.option(
    "--data", metavar="DIR", default="medray-data/demo-raw", help="Where the raw files go."
)
@job_options
def demo(data: str, cluster: str | None, storage: str | None, as_json: bool, report: bool) -> None:
    """Synthesise a small CT cohort as DICOM files, and run the whole way over it."""
    from medray.demo import synthesise
    from medray.jobs.run import run as run_job

    folder = Path(data).absolute()
    if not (folder / "deid.key").exists():
        click.echo(f"writing {DEMO_SUBJECTS} synthetic patients to {folder}", err=True)
        synthesise(folder, DEMO_SUBJECTS, DEMO_SEED)
    os.environ["MEDRAY_DEMO"] = str(folder)
    os.environ["MEDRAY_DEMO_PRECISION"] = "bf16" if multiplies_bf16() else "fp32"

    def start(objects: "Objects", listen: "Listener", stop: threading.Event) -> "Run":
        return run_job("demo", storage=objects, cluster=cluster, on_event=listen, stop=stop)

    attached(start, storage, "demo", as_json=as_json, report=report)


def multiplies_bf16(processors: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processor multiplies matrices of bf16. One that has AMX trains a 3-D
    U-Net in a third of fp32's time; one that must emulate it takes several times as long."""
    try:
        return "amx_bf16" in processors.read_text().split()
    except OSError:
        return False


def attached(start: Start, storage: str | None, name: str, *, as_json: bool, report: bool) -> None:
    """Run with progress and signals; print the account, or JSON."""
    from medray.commands.progress import print_account, watcher
    from medray.jobs.storage_by_name import open_storage

    stop = threading.Event()
    steps: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []  # for the page: steps that are done, and the one at hand
    job = ""
    watch = watcher()

    def listen(event: "Event") -> None:
        nonlocal name, job
        match event.name:
            case "job":
                name, job = name or Path(event.fields["file"]).stem, event.fields["job"]
            case "begin":
                told.append({**event.fields, "state": "failed"})
            case "done":
                told[-1] = dict(event.fields)
                steps.append({key: event.fields[key] for key in SHOWN})
        watch(event)

    def fail(error: MedrayError) -> None:
        if as_json:
            report_error(steps, error)

    try:
        objects = open_storage(storage)
        with watch, _Signals(stop, fail):
            done = start(objects, listen, stop)
    except Exception as error:
        # One that was stopped goes on; of one that failed the page says where, and why.
        if report and told and not isinstance(error, InterruptedRun):
            page = _write_page(objects, name, job, told, error)
            click.echo(f"report {page}", err=True)
        if isinstance(error, MedrayError):
            fail(error)
        raise
    page = _write_page(objects, name, job, told) if report else ""
    if as_json:
        print_json({"steps": steps, "job": done.id, "report": page})
        return
    print_account(done.steps)
    click.echo(f"run {done.id}")
    if page:
        click.echo(f"report {page}")


def report_error(steps: list[dict[str, Any]], error: MedrayError) -> None:
    """The JSON of a run that failed: what it had done, and why it ended."""
    failed = {
        "code": error.code,
        "message": error.message,
        "about": error.about,
        "hint": error.hint,
        "exit_status": error.exit_status,
    }
    print_json({"steps": steps, "error": failed})


def _write_page(
    objects: "Objects",
    name: str,
    run_id: str,
    steps: list[dict[str, Any]],
    error: Exception | None = None,
) -> str:
    """Write the report; where it is. A page that can't be drawn does not undo what is committed."""
    from medray.jobs.driver import told
    from medray.jobs.kept import stored_result
    from medray.report.collect import write_report
    from medray.report.content import Failure

    try:
        for step in steps:
            # What was done before keeps its own time, not that of looking it up again.
            known = stored_result(objects, step["run"]) if "run" in step else None
            if known is not None and known.output == step["output"]:
                step["seconds"] = known.seconds
        failure = None if error is None else Failure(**told(error))
        path = write_report(objects, name, steps, run=run_id, failure=failure)
    except Exception as found:  # noqa: BLE001 - see above
        click.echo(f"medray: the report failed ({type(found).__name__})", err=True)
        return ""
    return f"{objects.url.removeprefix('file://').rstrip('/')}/{path}"


class _Signals:
    """SIGTERM and Ctrl-C ask the run to stop; ten seconds later, or asked twice, it is cut.

    Args:
        stop: set when asked.
        fail: told of the error before the process is cut.
    """

    def __init__(self, stop: threading.Event, fail: Callable[[MedrayError], None]) -> None:
        self._stop, self._fail = stop, fail
        self._before: dict[int, Any] = {}
        self._timer = threading.Timer(DRAIN_S, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._asked)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            self._cut()
        self._stop.set()
        click.echo("medray: stopping; again to stop at once", err=True)
        self._timer.start()

    def _cut(self) -> None:
        # Safe at any point: what is not committed never shows, and resuming does it again.
        error = InterruptedRun(
            "cut while it was stopping",
            code="cut",
            hint="what is committed stays; `medray resume` goes on from here",
        )
        self._fail(error)
        sys.stdout.flush()
        os.write(2, f"medray: {error}\n".encode())
        os._exit(error.exit_status)
