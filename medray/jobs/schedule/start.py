"""Starting the run of a due time: in a process attached to the scheduler, which runs the job, or
submits it to a cluster and attends to it there. What was submitted goes on without a scheduler.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from medray.errors import LEFT, InterruptedRun, RetryableError, SpecError
from medray.jobs.schedule.claims import Claim
from medray.spec.load import cluster_profile
from medray.spec.profiles import RayCluster

LEAVE = signal.SIGUSR1  # to a child whose run goes on elsewhere
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Outcome:
    """How a started run ended.

    Args:
        exit_status: as `medray run` has them; 5 also where its process was killed by accident;
            `LEFT`: it goes on without this scheduler.
        result: what `medray run --json` prints.
    """

    exit_status: int
    result: dict[str, Any] = field(default_factory=dict)


class Started(Protocol):
    """A run under way, started by this scheduler."""

    nodes: int

    def poll(self) -> Outcome | None:
        """How it ended; None while it goes on."""
        ...

    def stop(self) -> None:
        """Ask it to finish what is in flight and end with exit status 4."""
        ...

    def leave(self) -> None:
        """This scheduler ends: as `stop`, but a run that can go on without it does (`LEFT`)."""
        ...


# Starting a claim again, after its scheduler died, must go on with the run `claim.run`.
Start = Callable[[Claim], Started]


class Attached:
    """Runs claims in child processes, which end when this process does.

    Args:
        storage: as the user named it, so that the child finds the same.
    """

    def __init__(self, storage: str | None) -> None:
        self._storage = storage

    def __call__(self, claim: Claim) -> Started:
        """Start a claim's run."""
        given = ["--storage", self._storage] if self._storage else []
        parent = ["--parent", str(os.getpid())]
        command = medray("schedule", "start", claim.schedule, claim.due, *given, *parent)
        try:
            elsewhere = is_elsewhere(claim)
        except SpecError:
            elsewhere = False  # no such profile: the child ends with that
        return _Child(command, elsewhere=elsewhere)


def is_elsewhere(claim: Claim) -> bool:
    """Whether a claim is to be submitted to a cluster, rather than run by the scheduler's child."""
    return claim.cluster is not None and isinstance(cluster_profile(claim.cluster), RayCluster)


def medray(*arguments: str) -> list[str]:
    """The command line of this very medray."""
    return [sys.executable, "-c", "from medray.cli import main; main()", *arguments]


class _Child:
    nodes = 1

    def __init__(self, command: list[str], *, elsewhere: bool) -> None:
        self._elsewhere = elsewhere
        # A file, not a pipe: nobody needs to read while the run goes on.
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - closed by poll
        # A session of its own: Ctrl-C at the terminal is the scheduler's to hand on.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=self._out, start_new_session=True
        )

    def poll(self) -> Outcome | None:
        status = self._process.poll()
        if status is None:
            return None
        self._out.seek(0)
        text = self._out.read()
        self._out.close()
        try:
            result = json.loads(text)
        except ValueError:
            result = {}
        # Asked to stop before it could answer, it is stopped all the same; any other signal is an
        # accident, such as a lack of memory.
        killed = {-signal.SIGTERM: InterruptedRun.exit_status, -LEAVE: LEFT}
        accident = RetryableError.exit_status
        return Outcome(status if status >= 0 else killed.get(status, accident), result)

    def stop(self) -> None:
        self._process.terminate()

    def leave(self) -> None:
        self._process.send_signal(LEAVE if self._elsewhere else signal.SIGTERM)


def die_with(parent: int, sign: signal.Signals = signal.SIGTERM) -> None:
    """Ask the system to send this process a signal when its parent ends, however it ends.

    Whether it came for that reason can't be asked of `os.getppid()`: while threads of a killed
    parent still end, it names that parent. So take a signal that means nothing else.

    Args:
        parent: number of the process.
        sign: to send.

    Raises:
        InterruptedRun: it has ended already (code "no-parent").
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sign)
    if os.getppid() != parent:
        raise InterruptedRun("the scheduler is gone", code="no-parent", about=str(parent))
