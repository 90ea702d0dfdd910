"""Pages of runs that have ended, written while the scheduler goes on."""

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medray.jobs.schedule.claims import Claim


class Pages:
    """Writes the page of a run that has ended, in a process of its own: it may take its time."""

    def __init__(self, storage: str | None) -> None:
        self._given = ["--storage", storage] if storage else []
        self._processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, claim: "Claim") -> None:
        """Begin with the page of a claim's run."""
        from medray.jobs.schedule.start import medray

        command = medray("schedule", "page", claim.schedule, "--due", claim.due, *self._given)
        self._processes = [one for one in self._processes if one.poll() is None]
        self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))  # noqa: S603

    def wait(self) -> None:
        """Until all pages are written."""
        for process in self._processes:
            process.wait()
