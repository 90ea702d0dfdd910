"""A real Ray head for tests: its own folder, token, dashboard on loopback, free ports.

python tests/cluster/head.py FOLDER    starts one, prints where it is as JSON, ends with stdin
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

START_S = 90
_PORTS = (
    "--port",
    "--dashboard-port",
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--node-manager-port",
    "--object-manager-port",
    "--metrics-export-port",
    "--runtime-env-agent-port",
    "--ray-client-server-port",
)
ROOT = Path(__file__).parent.parent.parent


@dataclass
class Head:
    """A head that runs.

    Args:
        address: of its dashboard.
        gcs: host:port by which nodes join.
        token_file: readable by its owner alone.
        process: `ray start --block`, which leads a process group of its own.
        folder: of its logs and sockets.
    """

    address: str
    gcs: str
    token_file: Path
    process: subprocess.Popen[bytes]
    folder: Path

    def ask(self, path: str) -> Any:
        """What the dashboard answers, parsed."""
        request = urllib.request.Request(
            f"{self.address}{path}",
            headers={"Authorization": f"Bearer {self.token_file.read_text()}"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read())

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are there, as Ray's state API has them."""
        found = self.ask("/api/v0/nodes?detail=true")["data"]["result"]["result"]
        return [node for node in found if node["state"] == "ALIVE"]

    def kill(self) -> None:
        """As a power cut: every process of it at once, none asked."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        rmtree(self.folder, ignore_errors=True)

    def profile(self, path: Path, **more: object) -> str:
        """A cluster profile for it, as a file; returns the file's name."""
        settings = {
            "kind": "ray",
            "address": self.address,
            "token_file": str(self.token_file),
            "python": sys.executable,
            "default_pool": {"workers": 1, "cpus": 1},
            **more,
        }
        path.write_text(json.dumps(settings))
        return str(path)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def start_head(
    token_file: Path,
    cpus: int = 2,
    env: dict[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Head:
    """Start a head and wait until its Jobs API answers.

    Args:
        token_file: made if it is not there.
        cpus: that it may hand out.
        env: for all of its processes.
        more: options of `ray start`, which come before those that are chosen here.
    """
    if not token_file.exists():
        token_file.touch(mode=0o600)
        token_file.write_text(secrets.token_hex(32))
    # Sockets lie some 60 characters below; the kernel takes 107.
    folder = Path(tempfile.mkdtemp(prefix="medray-head-", dir="/tmp"))
    ports: dict[str, object] = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    options = {**ports, **(more or {})}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-gpus=0"]
    command += [f"--temp-dir={folder}", f"--num-cpus={cpus}", "--object-store-memory=150000000"]
    command += [f"{name}={value}" for name, value in options.items()]
    command += ["--include-dashboard=true", "--disable-usage-stats"]
    out = (folder / "out").open("wb")
    process = subprocess.Popen(
        command,
        env={
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token_file),
            "RAY_TMPDIR": str(folder),
            **(env or {}),
        },
        cwd=folder,
        stdout=out,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    out.close()
    address, gcs = (f"127.0.0.1:{options[name]}" for name in ("--dashboard-port", "--port"))
    head = Head(f"http://{address}", gcs, token_file, process, folder)
    until = time.monotonic() + START_S
    while not _answers(head):
        if process.poll() is not None or time.monotonic() > until:
            said = (folder / "out").read_text()[-2000:]
            head.kill()
            raise RuntimeError(f"Ray did not start: {said}")
        time.sleep(0.2)
    return head


def _answers(head: Head) -> bool:
    try:
        return isinstance(head.ask("/api/jobs/"), list)
    except OSError:
        return False


@contextlib.contextmanager
def a_node(head: Head, token_file: Path, *more: str) -> Iterator[None]:
    """Another node of a head's cluster, on this machine, gone with all its processes on leaving.

    Args:
        head: to join.
        token_file: that the node's processes read.
        more: options of `ray start`.
    """
    there = len(head.nodes())
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *more]
    command += [f"--address={head.gcs}", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    with (head.folder / f"node-{there}").open("wb") as out:
        process = subprocess.Popen(
            [*command, "--object-store-memory=150000000"],
            env={
                **os.environ,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(token_file),
            },
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_S
        while len(head.nodes()) == there:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    f"it did not join: {(head.folder / f'node-{there}').read_text()}"
                )
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def a_head(token_file: Path, cpus: int = 2) -> Iterator[Head]:
    """A head, gone with all its processes on leaving."""
    head = start_head(token_file, cpus)
    try:
        yield head
    finally:
        head.kill()


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    with a_head(where / "token") as running:
        sys.stdout.write(running.profile(where / "head.yaml") + "\n")
        sys.stdout.flush()
        sys.stdin.read()
