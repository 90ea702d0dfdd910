"""Fault points: named places where a drill can strike; free when unarmed.

Armed by the environment, so that a drill reaches worker processes too:

    MEDRAY_FAULTS="commit.before-record=kill:3;shard.written=raise"

strikes the third time this process passes `commit.before-record`. Actions: `kill` (SIGKILL to
self), `exit` (os._exit 1), `segfault` (SIGSEGV), `stop` (SIGSTOP), `raise` (RetryableError),
`full` (OSError ENOSPC), `hang` (sleep one hour).
An action followed by `@PATH` strikes once only over all processes: the file PATH marks it spent.
"""

import contextlib
import errno
import os
import signal
import time
from collections import Counter
from pathlib import Path

from medray.errors import RetryableError

ENVIRONMENT = "MEDRAY_FAULTS"
_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Pass the fault point `name`: nothing happens unless a drill armed it."""
    armed = os.environ.get(ENVIRONMENT)
    if armed is None:
        return
    for rule in armed.split(";"):
        where, _, action = rule.partition("=")
        if where.strip() == name:
            _passed[name] += 1
            _strike(name, action.strip())


def _strike(name: str, action: str) -> None:
    action, _, spent = action.partition("@")
    action, _, count = action.partition(":")
    if count and _passed[name] != int(count):
        return
    if spent:
        try:
            Path(spent).touch(exist_ok=False)
        except FileExistsError:
            return
    match action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(1)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "hang":
            with contextlib.suppress(InterruptedError):
                time.sleep(3600)
        case "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        case "raise":
            raise RetryableError("a drill struck", code="fault-drill", about=name)
        case _:
            raise ValueError(f"unknown fault action {action!r} at {name!r}")
