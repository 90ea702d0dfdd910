"""Time to submit a job that has nothing to do and wait for its end, against `ray job submit`.

    python benchmarks/submit.py [REPEATS]

Both take turns on one head. Ray's command gets the very job that medray's driver runs, and `true`
as well: the second figure holds the cost of medray's own driver against it. The floor is a client
of 30 lines, without any library, for a driver that is `python -c pass`. A command begins once the
driver of the one before has ended: medray's writes its report when its client has gone already.
medray's modules are compiled first, as pip compiles what it installs (Ray's are).
"""

import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

from head import Head, a_head  # noqa: E402

PASS = ROOT / "benchmarks" / "reference" / "submit_pass.py"


def timed(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def main(repeats: int) -> dict[str, float]:
    """Median seconds of each, and the ratios."""
    compileall.compile_dir(ROOT / "medray", quiet=1)
    medray = [sys.executable, "-m", "medray"]
    ray = str(Path(sys.executable).with_name("ray"))
    with tempfile.TemporaryDirectory() as folder, a_head(Path(folder) / "token") as head:
        here = Path(folder)
        (here / "source").mkdir()
        job = here / "job.yaml"
        _volume(here / "source/a.nii.gz")
        step = {"kind": "ingest", "format": {"name": "nifti"}, "source": str(here / "source")}
        job.write_text(json.dumps({**step, "output": "x", "policy": {"error_budget": 1}}))
        cluster = head.profile(here / "c.yaml")
        tail = [str(job), "--storage", str(here / "store")]
        same = [*medray, "run", *tail, "--cluster", "inline", "--no-report"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(head.token_file),
            "RAY_ADDRESS": head.address,
        }
        ways = {
            "medray": [*medray, "submit", *tail, "--cluster", cluster, "--wait"],
            "ray, same job": [ray, "job", "submit", "--", *same],
            "ray, true": [ray, "job", "submit", "--", "true"],
            "floor": [sys.executable, str(PASS), head.address],
        }
        for command in ways.values():  # the first of each does the work, or uploads
            timed(command, environment)
            _settle(head)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, command in ways.items():
                taken[name].append(timed(command, environment))
                _settle(head)
    found = {name: statistics.median(seconds) for name, seconds in taken.items()}
    ours = found["medray"]
    return found | {
        "submit and wait / ray job submit, same job": ours / found["ray, same job"],
        "submit and wait / ray job submit, true": ours / found["ray, true"],
        "floor / ray job submit, same job": found["floor"] / found["ray, same job"],
    }


def _settle(head: Head) -> None:
    while any(job["status"] in ("PENDING", "RUNNING") for job in head.ask("/api/jobs/")):
        time.sleep(0.1)


def _volume(path: Path) -> None:
    import nibabel
    import numpy as np

    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)


if __name__ == "__main__":
    for name, value in main(int(sys.argv[1]) if len(sys.argv) > 1 else 5).items():
        print(f"{name}: {value:.3f}")
