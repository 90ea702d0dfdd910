"""What drivers keep of jobs and runs in storage, as others read it; see `record` for where."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from medray.errors import DataError
from medray.jobs.progress import Progress
from medray.steps.base.events import StepResult
from medray.steps.base.plans import FORGET
from medray.storage.store.documents import Count, Moment, read
from medray.storage.store.objects import Objects

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A job as it was given, to run it again.

    Args:
        name: of its file.
        documents: of its steps.
        cluster: profile that it was asked to run on.
    """

    name: str
    documents: list[dict[str, Any]]
    cluster: str | None


@dataclass(frozen=True)
class AtHand(Progress):
    """The step at hand."""

    run: str = ""


@dataclass(frozen=True)
class Life:
    """A driver's life on one job, as it wrote it down with its last beat.

    Args:
        session: names the driver.
        started: when it began.
        seen: when it was there last.
        state: how it stands, or ended.
        exit_status: that it ended with.
        steps: runs of the steps that it began.
        submission: number of the submission that it drives; 0: it was started by hand.
        step: how the step at hand goes: `Progress`, with the step's run.
        error: that ended it: code, message, about and hint; empty: none.
    """

    session: str
    started: Moment
    seen: Moment
    state: Literal["running", "done", "interrupted", "failed"]
    exit_status: Count = 0
    steps: list[str] = field(default_factory=list)
    submission: Count = 0
    step: AtHand = AtHand()
    error: dict[str, str] = field(default_factory=dict)

    def progress(self, run: str) -> Progress:
        """How a step goes; nothing of another one than that at hand."""
        told = {one.name: getattr(self.step, one.name) for one in fields(Progress)}
        return Progress(**told) if self.step.run == run else Progress()


@dataclass(frozen=True)
class Step:
    """What a step of a job was to do.

    Args:
        kind: of the step.
        output: name of what it makes; None: an export that has it from its data.
    """

    kind: str
    output: str | None = None


@dataclass(frozen=True)
class _OfJob:
    job: str


def job_record(objects: Objects, job: str) -> Job:
    """The job of a run.

    Raises:
        DataError: its record is damaged or gone (code "damaged-record").
    """
    return _read(objects, f"runs/{job}/job.json", Job)


def job_of(objects: Objects, run: str) -> str:
    """The job that a step's run belongs to.

    Raises:
        DataError: as `job_record`.
    """
    return _read(objects, f"runs/{run}/job.json", _OfJob).job


def read_step(objects: Objects, run: str) -> Step:
    """What the step of a run was to do.

    Raises:
        DataError: as `job_record`.
    """
    return _read(objects, f"runs/{run}/spec.json", Step)


def lives(objects: Objects, job: str) -> Iterator[Life]:
    """The lives of a job's drivers.

    Raises:
        DataError: as `job_record`.
    """
    for entry in objects.walk(f"runs/{job}/drivers"):
        if entry.path.endswith(".json"):
            yield _read(objects, entry.path, Life)


def stored_result(objects: Objects, run: str) -> StepResult | None:
    """What a step's run made when it was done last; None if it never was.

    Raises:
        DataError: as `job_record`.
    """
    try:
        return read(objects, f"runs/{run}/result.json", StepResult, FORGET)
    except FileNotFoundError:
        return None


def _read(objects: Objects, path: str, kind: type[T]) -> T:
    try:
        return read(objects, path, kind, FORGET)
    except FileNotFoundError as error:
        raise DataError("missing", code="damaged-record", about=path, hint=FORGET) from error
