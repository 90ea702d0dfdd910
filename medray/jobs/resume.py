"""Resume a job where it stopped, or ask the driver that runs it to stop."""

import json
import threading

from medray.clock import stamp
from medray.errors import SpecError
from medray.jobs.kept import job_record
from medray.jobs.status import AHEAD, find_job, job_state
from medray.jobs.storage_by_name import known_storage
from medray.spec.load import Source, cluster_profile
from medray.spec.profiles import RayCluster
from medray.steps.base.events import Listener, Run
from medray.storage.store.objects import Objects


def resume(
    run: str,
    *,
    storage: str | Objects | None = None,
    cluster: str | None = None,
    on_event: Listener | None = None,
    stop: threading.Event | None = None,
) -> Run:
    """Run a job again as it was given; what is committed is skipped.

    Args:
        run: id of the job's run, of a run of one of its steps, or the beginning of one.
        storage: see `medray.jobs.storage_by_name.known_storage`.
        cluster: profile to go on with; None: as it was begun.
        on_event: see `medray.jobs.run.run`.
        stop: see `medray.jobs.run.run`.

    Raises:
        SpecError: there is no such run (code "no-such-run"); else as `medray.jobs.run.run`.
    """
    from medray.jobs.run import run_documents

    objects = known_storage(storage)
    job = find_job(objects, run)
    kept = job_record(objects, job)
    return run_documents(
        Source(kept.name, kept.documents),
        objects,
        job=job,
        cluster=cluster or kept.cluster,
        on_event=on_event,
        stop=stop or threading.Event(),
    )


def cluster_of(run: str, *, storage: str | Objects | None, cluster: str | None) -> str | None:
    """The cluster that a job is to be resumed on by submission; None: it goes on in this process.

    Args:
        run: see `resume`.
        storage: see `resume`.
        cluster: profile that was asked for; None: as the job was begun.
    """
    objects = known_storage(storage)
    name = cluster or job_record(objects, find_job(objects, run)).cluster
    return name if name and isinstance(cluster_profile(name), RayCluster) else None


def cancel(run: str, *, storage: str | Objects | None = None) -> str:
    """Ask the driver of a job to stop; it looks every second. Returns the job's id.

    Raises:
        SpecError: there is no such run (code "no-such-run"), or nobody runs it ("not-running").
    """
    objects = known_storage(storage)
    job = find_job(objects, run)
    state = job_state(objects, job)
    if state not in AHEAD:
        raise SpecError(
            f"the job is {state}, so there is nothing to cancel", code="not-running", about=job
        )
    objects.put(f"runs/{job}/cancel", json.dumps({"at": stamp()}).encode())
    return job
