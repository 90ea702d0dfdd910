"""Drive a submitted job, on the cluster: what a submission's entrypoint runs."""

import threading
from contextlib import ExitStack

from medray.errors import InterruptedRun, SpecError
from medray.jobs.driver import Driver
from medray.jobs.kept import job_record
from medray.jobs.remote.queue import Entry, Turn
from medray.jobs.remote.submissions import mark, read
from medray.spec.load import Source
from medray.steps.base.events import Listener, Run
from medray.storage.store.objects import Objects
from medray.version import __version__


def drive(
    job: str,
    number: int,
    *,
    objects: Objects,
    cluster: str,
    on_event: Listener | None,
    stop: threading.Event,
) -> Run:
    """Run a job that was submitted, when it is its turn.

    Args:
        job: id of the job's run.
        number: of its submission.
        objects: the storage root.
        cluster: profile to run by, which came along.
        on_event: see `medray.jobs.run.run`.
        stop: see `medray.jobs.run.run`.

    Raises:
        SpecError: another medray submitted it (code "version-mismatch").
        InterruptedRun: another driver has begun this very submission (code "begun-before"), or it
            was stopped while it waited ("stopped").
        MedrayError: as `medray.jobs.run.run`.
    """
    submission = read(objects, job, number)
    if submission.medray != __version__:
        raise SpecError(
            f"medray {submission.medray} submitted this, and here is {__version__}",
            code="version-mismatch",
            about=submission.id,
            hint="install the same on the nodes, or `medray: shipped` in the profile",
        )
    if not mark(objects, submission, "begun"):
        raise InterruptedRun(
            "another driver has begun this submission", code="begun-before", about=submission.id
        )
    record = job_record(objects, job)
    entry = Entry(submission.id, job, submission.priority, submission.at)
    places = int(submission.profile["max_runs"])
    with ExitStack() as stack:
        place = Turn(objects, submission.cluster, entry, places, stop, f"runs/{job}/cancel")
        try:
            stack.enter_context(place)
        except InterruptedRun:
            with Driver(objects, job, stop, number):  # so that storage says how it ended
                raise
        # What follows loads the libraries of the work: one that waits does without.
        from medray.jobs.run import run_documents

        return run_documents(
            Source(record.name, record.documents),
            objects,
            cluster=cluster,
            on_event=on_event,
            stop=stop,
            job=job,
            submission=number,
        )
