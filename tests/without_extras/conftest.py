"""medray as `pip install medray` brings it: in an environment that has no more, or with the
libraries of its extras hidden. `make without-extras` makes such an environment and runs this
folder in it; in any other the libraries are hidden."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HIDE = """
import sys
from medray.extras import EXTRAS

class But:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in EXTRAS:
            return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(But, sys.meta_path)
from medray.cli import main
main()
"""


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., tuple[int, Any]]:
    """Runs a medray command on storage of its own; its exit status, and what it printed: JSON, or
    its last line of errors."""
    (tmp_path / "hidden.py").write_text(HIDE)

    def run(*arguments: str) -> tuple[int, Any]:
        command = [sys.executable, str(tmp_path / "hidden.py"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        if done.stdout.lstrip().startswith(("{", "[")):
            return done.returncode, json.loads(done.stdout)
        return done.returncode, (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]

    return run
