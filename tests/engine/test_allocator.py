"""Freed memory stays with the process, on whatever thread it is used."""

import subprocess
import sys

import pytest

from medray.engine import allocator

FAULTS = """
import resource, sys, threading
import numpy as np
from medray.engine.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()

def work():
    np.ones(64 * 2**20, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(64 * 2**20, np.uint8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.needs("linux")
def test_large_arrays_are_not_mapped_anew_each_time() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("keep") < 0.2 * faults("plain")


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
