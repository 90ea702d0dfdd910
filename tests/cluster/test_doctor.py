"""The doctor on a real cluster of two nodes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from head import Head, a_node

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(400),
    pytest.mark.needs("no-gpu"),  # plays a node without the driver
]


def doctor(head: Head, tmp_path: Path) -> dict[str, tuple[bool, str]]:
    cluster = head.profile(tmp_path / "head.yaml")
    place = ("--cluster", cluster, "--storage", str(tmp_path / "store"))
    command = [sys.executable, "-m", "medray", "doctor", *place, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200)
    found = {name: (one["ok"], one["detail"]) for name, one in json.loads(ended.stdout).items()}
    failed = [name for name, (ok, _) in found.items() if not ok]
    assert (ended.returncode != 0) == bool(failed)
    return found


def test_it_asks_every_node(head: Head, tmp_path: Path) -> None:
    found = doctor(head, tmp_path)
    assert [name for name, (ok, _) in found.items() if not ok] == []
    assert found["nodes"] == (True, "1 that are there now")

    # One that came without medray's help: its token open to others, and a GPU that is none.
    loose = tmp_path / "loose"
    loose.write_text(head.token_file.read_text() + "\n")
    loose.chmod(0o644)
    with a_node(head, loose, "--num-cpus=1", "--num-gpus=1"):
        other = next(node["node_id"] for node in head.nodes() if not node["is_head_node"])[:12]
        found = doctor(head, tmp_path)
    assert found["nodes"] == (True, "2 that are there now")
    wrong = {name: detail for name, (ok, detail) in found.items() if not ok}
    assert wrong == {
        "tokens": f"others may read the token on {other}",
        "gpus": f"{other} gives out 1 GPU, and has no driver for any",
    }
    assert head.token_file.read_text() not in json.dumps(head.ask("/api/jobs/"))
