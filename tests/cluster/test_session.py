"""Our own Ray is private, and gone afterwards; what can't run is refused at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medray.cluster import session

SCRIPT = """
import json, os, signal, stat, sys, threading
from pathlib import Path
from medray.cluster.session import require, start_local
from medray.errors import SpecError

handler = lambda *_: None
signal.signal(signal.SIGTERM, handler)
found = {}
with start_local(num_cpus=2):
    import ray
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    found["mode"] = oct(stat.S_IMODE(token.stat().st_mode))
    found["folder"] = str(token.parent)
    found["folder mode"] = oct(stat.S_IMODE(token.parent.stat().st_mode))
    found["auth"] = os.environ["RAY_AUTH_MODE"]
    found["handler kept"] = signal.getsignal(signal.SIGTERM) is handler
    require(2, 1)
    require(8, 0.25)
    try:
        require(3, 1)
    except SpecError as error:
        found["refused"] = error.code
    try:
        require(1, 0.5, num_gpus=1)
    except SpecError as error:
        found["refused gpu"] = error.code
found["left"] = token.parent.exists()
found["environment"] = "RAY_AUTH_TOKEN_PATH" in os.environ
print(json.dumps(found))
"""


def test_a_ray_of_our_own_is_private_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=110
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stderr == "", "nothing among a run's output"
    found = json.loads(ended.stdout)
    folder = found.pop("folder")
    assert len(folder) < 45, "sockets below it have a limit of 107 characters"
    assert found == {
        "mode": "0o600",
        "folder mode": "0o700",
        "auth": "token",
        "handler kept": True,
        "refused": "pool-too-large",
        "refused gpu": "pool-too-large",
        "left": False,
        "environment": False,
    }


def test_folders_of_dead_processes_are_swept_and_of_living_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_short_folder", lambda: str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = tmp_path / f"medray-ray-{gone.pid}-abc"
    living = tmp_path / f"medray-ray-{os.getpid()}-abc"
    for folder in (dead, living, tmp_path / "other"):
        folder.mkdir()
    session._sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, "other"])
