"""Submit jobs to a Ray cluster. What was sent is recorded first, so that nothing starts twice."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medray.errors import FINAL, RetryableError, SpecError
from medray.jobs.driver import job_id, keep_job
from medray.jobs.kept import job_record
from medray.jobs.remote.ray_jobs_api import ENDED, RayJobs, connect
from medray.jobs.remote.shipment import pack
from medray.jobs.remote.submissions import (
    Submission,
    claim,
    life_of,
    mark,
    marked,
    new_submission,
    newest,
)
from medray.jobs.storage_by_name import ENVIRONMENT, open_storage
from medray.lease import GONE_S, told_ago_s
from medray.spec.documents import variables_of
from medray.spec.load import Job, Source, check_step, cluster_profile, read_job, storage_profile
from medray.spec.profiles import RayCluster, is_secret
from medray.spec.storage import Storage
from medray.spec.urls import refuse_userinfo
from medray.storage.catalog.audit import record
from medray.storage.store.objects import Objects
from medray.version import __version__

STOP_S = 15  # from SIGTERM to SIGKILL: longer than a driver takes to drain
_CLAIMS = 100


@dataclass(frozen=True)
class Sent:
    """A submission that the cluster has.

    Args:
        submission: as recorded.
        fresh: whether this call sent it, rather than an earlier one whose run goes on.
    """

    submission: Submission
    fresh: bool


def submit(
    job: Job,
    *,
    cluster: str,
    storage: str | None = None,
    overrides: Sequence[str] = (),
    priority: int | None = None,
) -> Sent:
    """Submit a job to a cluster; one that is under way is joined, not started again.

    Args:
        job: path or name of a job file, one step, or several.
        cluster: profile of kind `ray`.
        storage: see `medray.jobs.storage_by_name.open_storage`.
        overrides: see `medray.jobs.run.run`.
        priority: higher goes first; None: the profile's.

    Raises:
        SpecError: job or profile are wrong, or the cluster refuses the token.
        RetryableError: storage or cluster can't be reached. Submit again: nothing starts twice.
    """
    source = read_job(job, overrides)
    return submit_documents(source, cluster=cluster, storage=storage, priority=priority)


def resubmit(
    run: str, *, cluster: str, storage: str | None = None, priority: int | None = None
) -> Sent:
    """Submit a job that was run or submitted before, from what storage holds of it."""
    from medray.jobs.status import find_job  # loads what reads ledgers

    objects = open_storage(storage)
    record = job_record(objects, find_job(objects, run))
    source = Source(record.name, record.documents)
    return submit_documents(source, cluster=cluster, storage=storage, priority=priority)


def ray_profile(cluster: str) -> RayCluster:
    """A profile that jobs can be submitted to.

    Raises:
        SpecError: it is of another kind (code "not-a-ray-cluster").
    """
    profile = cluster_profile(cluster)
    if not isinstance(profile, RayCluster):
        raise SpecError(
            f"nothing can be submitted to a cluster of kind {profile.kind}",
            code="not-a-ray-cluster",
            about=cluster,
            hint="`medray run` runs it here; cluster/ray-jobs.yaml is an example of kind ray",
        )
    return profile


def submit_documents(
    source: Source,
    *,
    cluster: str,
    storage: str | None,
    priority: int | None = None,
    due: str = "",
) -> Sent:
    """Submit a job's documents; see `submit`.

    Args:
        source: of the job.
        cluster: see `submit`.
        storage: see `submit`.
        priority: see `submit`.
        due: id of the run of a due time. One that has ended well, or in a way that another try
            would not mend, is joined as one under way is; one that was interrupted goes on.
    """
    profile = ray_profile(cluster)
    for index in range(len(source.documents)):
        check_step(source, index, profile.defaults)
    require_forwarded(source, profile)
    objects = open_storage(storage)
    if not objects.exists(f"runs/{job_id(source)}/job.json"):
        # What stands there was checked when it came. This loads the libraries of the plugins.
        from medray.jobs.check import check_documents
        from medray.steps.base.view import refuse

        _, problems = check_documents(source, objects, cluster=cluster)
        refuse(problems, source.name)
    name = Path(cluster).stem
    with connect(profile) as jobs:
        # Before anything is written down: a wrong token or a closed tunnel is no submission.
        jobs.version()
        job = keep_job(objects, source, cluster)
        submission, fresh = _choose(objects, jobs, job, name, profile, priority, due)
        if fresh:
            # Before it is sent: what runs stands in the log, though perhaps twice.
            details = {"cluster": name, "submission": submission.number, "medray": __version__}
            record(objects, what="submit", about=job, details=details)
            _deliver(jobs, submission, profile, storage, objects)
            mark(objects, submission, "taken")
    return Sent(submission, fresh)


def _choose(
    objects: Objects,
    jobs: RayJobs,
    job: str,
    name: str,
    profile: RayCluster,
    priority: int | None,
    due: str,
) -> tuple[Submission, bool]:
    """The submission that is meant, and whether it is still to be sent."""
    rank = profile.priority if priority is None else priority
    for _ in range(_CLAIMS):
        last = newest(objects, job)
        if last is not None:
            there = _stands(objects, jobs, last, due)
            if there == "unsent" and last.address == profile.address:
                return last, True
            if there == "under way":
                mark(objects, last, "taken")
                return last, False
        submission = new_submission(
            objects, job, last.number + 1 if last else 1, name, profile, rank, due
        )
        objects.delete([f"runs/{job}/cancel"])  # it was meant for an earlier one
        if claim(objects, submission):
            return submission, True
    raise RetryableError(
        "others submit the same job again and again", code="submission-contended", about=job
    )


def _stands(objects: Objects, jobs: RayJobs, last: Submission, due: str) -> str:
    """How the last submission stands: "unsent", "under way" or "over"."""
    taken = marked(objects, last, "taken")
    life = life_of(objects, last)
    if life is not None:
        if life.state != "running":
            if last.due != due:
                return "over"
            if due and life.exit_status in FINAL:
                return "under way"
            # Never told to whoever sent it: the reply was lost, and this is its second try.
            return "over" if taken else "under way"
        return "under way" if told_ago_s(life.seen) < GONE_S else "over"
    if marked(objects, last, "begun") and not taken:
        return "under way"
    known = jobs.job(last.id)
    if known is None:
        return "over" if taken else "unsent"
    return "over" if known["status"] in ENDED and taken else "under way"


def _deliver(
    jobs: RayJobs,
    submission: Submission,
    profile: RayCluster,
    storage: str | None,
    objects: Objects,
) -> None:
    root, runtime = ship(jobs, profile, submission.cluster, storage, objects)
    command = [profile.python, "-m", "medray", "drive", submission.job, str(submission.number)]
    jobs.submit(
        {
            "entrypoint": shlex.join(
                [*command, "--storage", root, "--cluster", submission.cluster]
            ),
            "submission_id": submission.id,
            "runtime_env": runtime,
            "metadata": {"medray": __version__, "job": submission.job, "by": submission.by},
        }
    )


def ship(
    jobs: RayJobs, profile: RayCluster, cluster: str, storage: str | None, objects: Objects
) -> tuple[str, dict[str, Any]]:
    """Upload what travels with a run, unless the cluster has it.

    Args:
        jobs: of the cluster.
        profile: of the cluster.
        cluster: its name there.
        storage: as the user named it.
        objects: the storage root.

    Returns:
        What the run is to be given as --storage, and its `runtime_env`.
    """
    root, shipped = _storage(storage, objects)
    shipment = pack(profile, Path(cluster).stem, shipped, root)
    package = shipment.name
    if not jobs.has_package(package):
        jobs.put_package(package, shipment.zipped())
    variables = {
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S),
        **forwarded(profile),
    }
    return root, {"working_dir": f"gcs://{package}", "env_vars": variables}


def forwarded(profile: RayCluster) -> dict[str, str]:
    """The variables that travel, by the profile's `forward`.

    Raises:
        SpecError: a value is a URL with a secret in it (code "secret-in-url"): Ray shows it.
    """
    return {
        name: refuse_userinfo(os.environ[name], f"forward: {name}")
        for name in profile.forward
        if name in os.environ
    }


def require_forwarded(source: Source, profile: RayCluster) -> None:
    """Refuse variables of a job that would mean something else on the cluster, or nothing.

    Secrets do not travel, so that those are taken to be set on the nodes.

    Raises:
        SpecError: one has a value here and is not in `forward` (code "not-forwarded").
    """
    for name in sorted(variables_of(source.documents)):
        if name in os.environ and name not in profile.forward and not is_secret(name):
            raise SpecError(
                f"the job asks for ${{{name}}}, and the cluster is not told what it is",
                code="not-forwarded",
                about=source.name,
                hint=f"`forward: [{name}]` in the cluster's profile",
            )


def _storage(storage: str | None, objects: Objects) -> tuple[str, Storage | None]:
    """What the driver is to be given as --storage, and the profile to ship, if it is one."""
    name = storage or os.environ.get(ENVIRONMENT, "") or "local"
    if "://" in name or ("/" in name and not name.endswith((".yaml", ".yml"))):
        return objects.url, None
    profile = storage_profile(name)
    return Path(name).stem, profile.model_copy(update={"url": objects.url})
