"""Our own Ray is private, and gone afterwards; what can't run is refused at once."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from medray.cluster.folder import keep_logs, last_words, make_folder, remove_folder, socket_bytes
from medray.errors import SpecError

SCRIPT = """
import json, os, signal, stat, sys, threading
from pathlib import Path
from medray.cluster.session import require, start_local
from medray.errors import SpecError

PROCESSES = ("gcs_server", "raylet", "dashboard.py", "log_monitor.py", "monitor.py")

def ours(place):
    try:
        return str(token.parent) in place.read_text()
    except OSError:
        return False

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
    begun = [place.read_text() for place in Path("/proc").glob("[0-9]*/cmdline") if ours(place)]
    found["begun"] = sorted(n for n in PROCESSES if any(n in line for line in begun))
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
        "begun": ["gcs_server", "raylet"],
        "handler kept": True,
        "refused": "pool-too-large",
        "refused gpu": "pool-too-large",
        "left": False,
        "environment": False,
    }


def test_folders_of_dead_processes_are_swept_and_of_living_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = tmp_path / f"medray-ray-{gone.pid}-abc"
    living = tmp_path / f"medray-ray-{os.getpid()}-abc"
    strange = tmp_path / "medray-ray-x"
    for folder in (dead, living, strange, tmp_path / "other"):
        folder.mkdir()
    remove_folder(make_folder())
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([living.name, strange.name, "other"])


def deep(tmp: Path, length: int) -> Path:
    """A folder whose path has as many bytes."""
    path = str(tmp)
    while len(path) < length:
        path += "/" + "x" * min(50, max(1, length - len(path) - 1))
    made = Path(path[:length].rstrip("/").ljust(length, "y"))
    made.mkdir(parents=True, exist_ok=True)
    return made


@pytest.mark.parametrize("pid", [1, 99_999, 4_194_303])
def test_sockets_fit_below_every_folder_that_is_taken(
    pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The true length of the longest one, as Ray names it, whatever TMPDIR is."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "getpid", lambda: pid)
    taken: dict[bool, int] = {True: 0, False: 0}
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as short:
        for length in range(len(short) + 2, 121):
            parent = deep(Path(short), length)
            assert len(str(parent)) == length
            monkeypatch.setattr(tempfile, "tempdir", str(parent))
            made = make_folder()
            socket = f"{made}/r/session_{'2026-11-28_22-44-50_606222'}_{pid}/sockets/plasma_store"
            assert len(socket) <= 107
            own = made.parent == parent
            taken[own] += 1
            assert own == (socket_bytes(str(parent), pid) <= 107)
            assert stat.S_IMODE(made.stat().st_mode) == 0o700
            remove_folder(made)
    assert taken[False] > 80
    assert (taken[True] > 0) == (socket_bytes("/tmp/mxxxxxxxxyy", pid) <= 107)
    for length in range(2, 121):
        assert socket_bytes("/" + "x" * (length - 1), pid) == length + 80 + 2 * len(str(pid))


def test_no_folder_that_is_short_enough_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 90)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: (_ for _ in ()).throw(PermissionError()))
    with pytest.raises(SpecError) as caught:
        make_folder()
    assert caught.value.code == "no-short-folder"


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.parametrize("length", [17, 18, 24, 29, 30, 60, 110])
def test_ray_starts_whatever_the_length_of_tmpdir(length: int) -> None:
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as short:
        there = deep(Path(short), length)
        script = "from medray.cluster import session\nwith session.start_local(num_cpus=1): pass"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "TMPDIR": str(there)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_what_ray_said_when_it_did_not_start_is_told(tmp_path: Path) -> None:
    script = (
        "from medray.cluster.session import start_local\n"
        "with start_local(num_cpus=1, object_store_bytes=10**15): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ray-did-not-start" in done.stderr
    assert "object_store_memory" in done.stderr.splitlines()[-1]


def test_the_logs_of_a_ray_that_broke_are_kept_and_their_reason_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = make_folder()
    assert last_words(folder, "s3cret") == ""
    assert keep_logs(folder) is None
    logs = folder / "r/session_2026-11-28_22-44-50_606222_1/logs"
    logs.mkdir(parents=True)
    (logs / "gcs_server.out").write_text("[2026-11-28 22:44:50,394 I 9 9] logging.cc:3: fine\n")
    (logs / "raylet.err").write_text(
        "[2026-11-28 22:44:50,394 I 9 9] logging.cc:303: Set ray log level\n"
        "[2026-11-28 22:44:51,394 C 9 9] store.cc:7: Check failed: no memory for s3cret at s3://a:b@c\n"
        "*** StackTrace Information ***\n"
    )
    words = last_words(folder, "s3cret")
    assert words == "raylet: store.cc:7: Check failed: no memory for *** at s3://***@c"
    kept = keep_logs(folder)
    remove_folder(folder)
    assert kept is not None
    assert "Check failed" in (kept / "raylet.err").read_text()
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_logs_that_were_kept_go_after_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, young = (tmp_path / f"medray-failed-ray-{name}" for name in ("old", "young"))
    for folder in (old, young):
        (folder / "logs").mkdir(parents=True)
    week = 7 * 86400
    os.utime(old, (time.time() - week - 60,) * 2)
    os.utime(young, (time.time() - week + 600,) * 2)
    remove_folder(make_folder())
    assert [path.name for path in tmp_path.iterdir()] == ["medray-failed-ray-young"]
