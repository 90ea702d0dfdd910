"""Records of what was sent to clusters. They, not Ray's job table, say what was submitted.

<root>/runs/<job>/submissions/0001.json         what was sent where, written before it is sent
<root>/runs/<job>/submissions/0001.taken        the cluster said that it has it
<root>/runs/<job>/submissions/0001.begun        its driver began; a second one with the number ends
"""

import getpass
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from medray.clock import stamp
from medray.errors import SpecError
from medray.ids import short
from medray.jobs.kept import Life, lives
from medray.spec.profiles import RayCluster
from medray.steps.base.plans import FORGET
from medray.storage.store import documents
from medray.storage.store.documents import Count, Moment
from medray.storage.store.objects import Objects
from medray.version import __version__

ID_DIGITS = 16
_NAME = re.compile(r"(\d{4,9})\.json")
_FOLLOWED = {"kind", "address", "token_file", "ca_file", "max_runs"}


@dataclass(frozen=True)
class Submission:
    """One time that a job was sent to a cluster.

    Args:
        job: id of the job's run.
        number: of the submission, from 1.
        cluster: name of the profile, which is also that of the queue.
        address: of the cluster.
        id: that Ray knows it by; made of storage, job and number, so sending it again is harmless.
        priority: higher goes first.
        at: when, ISO 8601 in UTC.
        by: whose account sent it.
        profile: of the cluster's, how it is reached, and the places in its line.
        medray: version that submitted it, which is to run it.
        due: id of the run of a due time that it is for; empty: somebody asked for it.
    """

    job: str
    number: Count
    cluster: str
    address: str
    id: str
    priority: int
    at: Moment
    by: str
    profile: dict[str, Any]
    medray: str
    due: str = ""

    @property
    def path(self) -> str:
        """Of the record, without its ending."""
        return f"runs/{self.job}/submissions/{self.number:04d}"


def new_submission(
    objects: Objects,
    job: str,
    number: int,
    cluster: str,
    profile: RayCluster,
    priority: int,
    due: str = "",
) -> Submission:
    """A submission, not yet recorded."""
    return Submission(
        job=job,
        number=number,
        cluster=cluster,
        address=profile.address,
        id=f"medray-{short([objects.url, job])[:ID_DIGITS]}-{number:04d}",
        priority=priority,
        at=stamp(),
        by=_user(),
        profile=profile.model_dump(mode="json", include=_FOLLOWED),
        medray=__version__,
        due=due,
    )


def claim(objects: Objects, submission: Submission) -> bool:
    """Record a submission before it is sent. False: somebody else has recorded that number."""
    return objects.put_new(f"{submission.path}.json", json.dumps(asdict(submission)).encode())


def newest(objects: Objects, job: str) -> Submission | None:
    """The last submission of a job; None: it was never submitted."""
    names = [entry.path.rpartition("/")[2] for entry in objects.walk(f"runs/{job}/submissions")]
    numbers = [int(found[1]) for found in map(_NAME.fullmatch, names) if found]
    return read(objects, job, max(numbers)) if numbers else None


def read(objects: Objects, job: str, number: int) -> Submission:
    """A recorded submission.

    Raises:
        SpecError: there is none of that number (code "no-such-submission").
    """
    path = f"runs/{job}/submissions/{number:04d}.json"
    try:
        return documents.read(objects, path, Submission, FORGET)
    except FileNotFoundError as error:
        raise SpecError(
            "there is no such submission", code="no-such-submission", about=path
        ) from error


def mark(objects: Objects, submission: Submission, what: str) -> bool:
    """Leave the mark "taken" or "begun". False: it was left before."""
    return objects.put_new(f"{submission.path}.{what}", json.dumps({"at": stamp()}).encode())


def marked(objects: Objects, submission: Submission, what: str) -> bool:
    """Whether the mark was left."""
    return objects.exists(f"{submission.path}.{what}")


def life_of(objects: Objects, submission: Submission) -> Life | None:
    """What the submission's driver wrote of itself; None: it has written nothing."""
    return next(
        (one for one in lives(objects, submission.job) if one.submission == submission.number), None
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
