"""Freed memory stays with the process, on whatever thread it is used."""

import subprocess
import sys

import pytest

from medray import allocator

FAULTS = """
import resource, sys, threading
from medray.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
assert "numpy" not in sys.modules
import numpy as np

def work():
    np.ones(64 * 2**20, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(64 * 2**20, np.uint8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


for _ in range(3):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""


@pytest.mark.needs("linux")
def test_large_arrays_are_not_mapped_anew_each_time() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return max(int(line) for line in done.stdout.split())

    assert faults("keep") < 0.2 * faults("plain")


def test_commands_that_run_jobs_keep_what_they_free_before_numpy_is_loaded() -> None:
    code = """
import sys
from medray import allocator
calls = []
allocator.keep_freed_memory = lambda: calls.append("numpy" in sys.modules)
from click.testing import CliRunner
from medray.cli import main
for words in (["run", "none"], ["resume", "none"], ["drive", "none", "1"]):
    before = len(calls)
    CliRunner().invoke(main, words)
    assert len(calls) == before + 1, words
    if words[0] == "run":
        assert calls == [False]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
