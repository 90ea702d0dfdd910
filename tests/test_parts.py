"""What is skipped is counted by what it lacks, and fails where that was installed for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import PROGRAMS, missing

ROOT = Path(__file__).parent.parent
INNER = """
import pytest
from parts import library, need

@pytest.fixture
def server():
    need("redis")

@pytest.mark.needs("bcftools")
@pytest.mark.parametrize("n", range(3))
def test_marked(n): assert False

def test_by_fixture(server): assert False

def test_library(): library("no_such_library")

def test_of_nothing(): pass
"""


@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize("required", ["", "ceph bcftools"])
def test_skips_are_counted_or_fail(processes: str, required: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "from parts import pytest_runtest_setup, pytest_terminal_summary\n"
    )
    (tmp_path / "test_inner.py").write_text(INNER)
    command = (sys.executable, "-m", "pytest", "-q", "-n", processes, "-p", "no:cacheprovider")
    ended = subprocess.run(
        [*command, "-W", "ignore::pytest.PytestUnknownMarkWarning", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": "", "MEDRAY_REQUIRE": required},
    )
    assert ended.stdout, ended.stderr
    told, closing = ended.stdout.splitlines(), ended.stdout.splitlines()[-1]
    assert "    1  redis: not installed: redis-server; `make system-packages`" in told
    assert "    1  no_such_library: the library is not installed" in told
    three = "    3  bcftools: not installed: bcftools; `make system-packages`"
    if required:
        assert ended.returncode == 1
        assert closing.startswith("1 passed, 2 skipped, 3 errors in")
        assert three not in told
    else:
        assert ended.returncode == 0
        assert closing.startswith("1 passed, 5 skipped in")
        assert three in told


def packages(*arguments: str, path: str = os.environ["PATH"]) -> str:
    script = str(ROOT / ".ci/system-packages")
    bash = str(shutil.which("bash"))
    ended = subprocess.run(
        [bash, script, *arguments], capture_output=True, text=True, check=True, env={"PATH": path}
    )
    return ended.stdout


def test_the_script_and_the_tests_know_the_same_parts() -> None:
    assert packages("--parts").split() == [part for part in PROGRAMS if not missing(part)]


def test_what_cannot_be_installed_here_is_told(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "id", "sed", "paste"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    said = packages(path=str(tmp_path)).splitlines()
    assert said[0].startswith("system-packages: this takes root and apt-get.")
    assert [line.split(":")[0].strip() for line in said[1:]] == list(PROGRAMS)
    assert "  tabix: apt-get install --no-install-recommends tabix" in said
