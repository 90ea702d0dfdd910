"""The command line in a process of its own: what it says, how it exits, what can be seen of it."""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from click.testing import CliRunner

from medray.cli import main

CLI = [sys.executable, "-c", "from medray.cli import main; main()"]


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, what it printed, the arguments that `ps` showed, and the
    most memory that it held itself."""

    status: int
    out: str
    err: str
    seen: str = ""
    peak_bytes: int = 0


def write_job(path: Path, *steps: dict[str, Any]) -> str:
    """A job file."""
    path.write_text(yaml.safe_dump_all(steps))
    return str(path)


class Run:
    """`medray run` of a job, in a process of its own; storage and job file lie in `folder`."""

    def __init__(self, folder: Path, steps: list[dict[str, Any]]) -> None:
        self.root = folder / "store"
        self.file = write_job(folder / "job.yaml", *steps)

    def start(self, cluster: str = "inline", **environment: str) -> subprocess.Popen[bytes]:
        """Begin it, or go on with it."""
        return subprocess.Popen(
            [*CLI, "run", self.file, "--storage", str(self.root), "--cluster", cluster],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def finish(self, **environment: str) -> int:
        """The same to its end; returns the exit status."""
        return self.start(**environment).wait(200)

    def attempts(self, dataset: str) -> int:
        """Attempts begun at units of a dataset, by all drivers."""
        folder = self.root / "datasets" / dataset / "attempts"
        return sum(path.name.count(".") == 1 for path in folder.glob("*/*.json"))


def medray(*arguments: str, timeout_s: float = 120, **environment: str) -> Ended:
    """Run `medray ARGUMENTS`, looking at its processes as a neighbour could."""
    process = subprocess.Popen(
        [*CLI, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        text=True,
    )
    seen: set[str] = set()
    peaks = [0]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            try:
                peaks.append(high_water(process.pid))
                mine = psutil.Process(process.pid)
                for one in mine.children(recursive=True):
                    seen.add(" ".join(one.cmdline()))
            except psutil.Error:
                continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
        over.set()
        watcher.join()
    return Ended(process.returncode, out, err, "\n".join(sorted(seen)), max(peaks))


def high_water(process: int) -> int:
    """Bytes that a process has held at most since it began. (What rusage says of a child begins
    with the size of its parent.)"""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return int((status.partition("VmHWM:")[2].split() or ["0"])[0]) * 1024


def here(*arguments: str) -> Ended:
    """As `medray`, in this process: a tenth of a second instead of two."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def one_line(ended: Ended) -> str:
    """The error of a command that failed as it should: the last line, with code, no traceback."""
    assert "Traceback" not in ended.err, ended.err
    assert "a bug" not in ended.err, ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("medray: ")]
    assert len(lines) == 1, ended.err
    return lines[0]
