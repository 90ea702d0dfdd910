"""What tests need beyond Python's packages, and the one way to skip where a part is missing.

A test says `@pytest.mark.needs("ceph")`, a fixture calls `need("ceph")`. Where the part is missing
the test is skipped, and counted under the part's name at the end; where MEDRAY_REQUIRE names the
part, as in CI that has installed it, the test fails.
"""

import importlib
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

LISTED = Path(__file__).parent.parent / ".ci" / "packages"
PROGRAMS = {
    line.split()[0]: line.split()[1].split(",")
    for line in LISTED.read_text().splitlines()
    if not line.startswith("#")
}


def _absent(part: str) -> str:
    names = [name for name in PROGRAMS[part] if shutil.which(name) is None]
    return f"not installed: {', '.join(names)}; `make system-packages`" if names else ""


def _folder(variable: str) -> str:
    where = os.environ.get(variable, "")
    return "" if where and Path(where).is_dir() else f"{variable} names no folder"


def _card() -> str:
    import torch

    return "" if torch.cuda.is_available() else "torch sees no card"


OTHERS: dict[str, Callable[[], str]] = {
    "real-data": lambda: _folder("MEDRAY_DATA"),
    "kuberay-crds": lambda: _folder("MEDRAY_KUBERAY_CRDS"),
    "linux": lambda: "" if sys.platform.startswith("linux") else "another system",
    "systemd": lambda: "" if shutil.which("systemd-analyze") else "not installed: systemd-analyze",
    "root": lambda: "" if os.geteuid() == 0 else "only root may mount",
    "gpu": _card,
    "no-gpu": lambda: "a GPU is here" if Path("/proc/driver/nvidia/version").exists() else "",
}


def missing(part: str) -> str:
    """What is missing of a part, in words; empty where it is all there."""
    return OTHERS[part]() if part in OTHERS else _absent(part)


def need(part: str) -> None:
    """Skip this test where a part is missing, or fail it where the part is required."""
    if lacks := missing(part):
        lack(part, lacks)


def lack(part: str, why: str) -> NoReturn:
    """Skip this test for want of a part, or fail it where the part is required."""
    if part in os.environ.get("MEDRAY_REQUIRE", "").split():
        pytest.fail(f"needs {part}, which MEDRAY_REQUIRE names: {why}", pytrace=False)
    pytest.skip(f"needs {part}: {why}")


def library(name: str) -> ModuleType:
    """A module that `make test` does not install; where it is not there, the test is skipped."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        lack(name, "the library is not installed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip before fixtures are made."""
    for mark in item.iter_markers("needs"):
        for part in mark.args:
            need(part)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many tests were skipped for want of what."""
    wants: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        wants[re.sub(r"^(Skipped: )?(needs )?", "", reason)] += 1
    if wants:
        terminalreporter.section("skipped for want of")
    for reason, count in wants.most_common():
        terminalreporter.write_line(f"{count:5d}  {reason}")
