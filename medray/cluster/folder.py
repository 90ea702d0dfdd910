"""The folder that a Ray of our own lives in: private, short enough for its sockets, gone with it.

Where Ray broke, its logs are kept, and their last words are what the error says.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from medray.errors import SpecError
from medray.veil import veiled

_PREFIX = "medray-ray-"
_KEPT = "medray-failed-ray-"
_KEPT_S = 7 * 86400.0  # logs of a Ray that broke are there for a week
_RANDOM = 8  # characters that mkdtemp adds
# Below it, of Ray 2.60: r/session_2026-11-28_22-44-50_606222_<pid>/sockets/plasma_store
_SESSION = len("/r/session_2026-11-28_22-44-50_606222_/sockets/plasma_store")
_LONGEST = 107  # bytes of a socket's path that the kernel takes
_TOLD = 300  # characters
# Who has the last word, and in which lines. Agents complain of what is no harm, such as ports.
_BAD = re.compile(r"\b[EFC] \d+ \d+\]|Check failed|terminate called|\w*Error\b")
_SPEAKERS = {
    "raylet.err": _BAD,
    "raylet.out": _BAD,
    "gcs_server.err": _BAD,
    "gcs_server.out": _BAD,
    "serve/replica_*.log": re.compile(r"^medray\.errors\."),  # a library's words may quote a file
}
_HEAD = re.compile(r"^\[?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+[^\]]*\]?\s*")


def socket_bytes(parent: str, pid: int) -> int:
    """Length of the longest path of a socket of a Ray that process `pid` starts below `parent`."""
    own = len(_PREFIX) + _RANDOM + 2 + 2 * len(str(pid))
    return len(os.fsencode(parent).rstrip(b"/")) + own + _SESSION


def make_folder() -> Path:
    """A new folder, the owner's alone, in TMPDIR or the first other place that is short enough.

    Raises:
        SpecError: there is none (code "no-short-folder").
    """
    _sweep()
    for parent in _places():
        if socket_bytes(parent, os.getpid()) <= _LONGEST:
            try:
                return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
            except OSError:
                continue  # not ours to write to, or full
    raise SpecError(
        f"no folder for Ray's sockets, whose paths have {_LONGEST} bytes at most",
        code="no-short-folder",
        about=", ".join(_places()),
        hint="set TMPDIR to a folder with a short path that can be written to",
    )


def remove_folder(folder: Path) -> None:
    """Remove it with all that Ray left there."""
    shutil.rmtree(folder, ignore_errors=True)


def keep_logs(folder: Path) -> Path | None:
    """Move Ray's logs out of a folder that is to be removed; None: it wrote none."""
    logs = next(folder.glob("r/session_2*/logs"), None)
    if logs is None:
        return None
    kept = Path(tempfile.mkdtemp(prefix=_KEPT))
    with contextlib.suppress(OSError, shutil.Error):  # what could be copied is there
        shutil.copytree(logs, kept / "logs", ignore_dangling_symlinks=True)
    return kept / "logs"


def last_words(folder: Path, secret: str) -> str:
    """What the logs of a Ray that broke say of it; empty: nothing.

    Args:
        folder: of the Ray.
        secret: that is not to be shown.
    """
    for speaker, bad in _SPEAKERS.items():
        said = ""
        for path in folder.glob(f"r/session_2*/logs/{speaker}"):
            for line in path.read_text(errors="replace").splitlines():
                said = line if bad.search(line) else said
        if said:
            text = veiled(_HEAD.sub("", said).replace(secret, "***"))
            return f"{speaker.partition('.')[0].rstrip('_*')}: {text[:_TOLD]}"
    return ""


def _places() -> Iterator[str]:
    # mkdtemp makes what we make there private.
    found = (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp")  # noqa: S108
    return (place for place in dict.fromkeys(found) if place.startswith("/"))


def _sweep() -> None:
    """Remove folders of ours whose process is dead, and logs that were kept long enough."""
    for place in _places():
        for folder in Path(place).glob(f"{_KEPT}*"):
            with contextlib.suppress(OSError):
                known = folder.lstat()
                if known.st_uid == os.getuid() and known.st_mtime < time.time() - _KEPT_S:
                    remove_folder(folder)
        for folder in Path(place).glob(f"{_PREFIX}*"):
            owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
            try:
                os.kill(int(owner), 0)
            except ProcessLookupError:
                remove_folder(folder)
            except (PermissionError, ValueError, OverflowError):
                continue
