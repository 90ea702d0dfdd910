"""Servers that a test starts: on a free port, awaited, and stopped by their process ids."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

REGION = "us-east-1"


@dataclass
class Server:
    """A running S3 server.

    Args:
        endpoint: URL.
        access_key: of its one user.
        secret_key: of its one user.
        processes: children of this process.
        pids: of daemons, the one to be stopped first first.
    """

    endpoint: str
    access_key: str = "medray"
    secret_key: str = "medraysecret"
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a client signs its requests."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
        client.create_bucket(Bucket=name)
        client.close()

    def stop(self) -> None:
        """End its processes."""
        for process in self.processes:
            process.terminate()
            process.wait(10)
        end(self.pids)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition; TimeoutError names it."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end(pids: Iterable[int], seconds: float = 10.0) -> None:
    """Ask daemons to end, and kill those that do not."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while _lives(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
