"""A run with nothing to do loads nothing heavy: most of its time is imports."""

import json
import subprocess
import sys
from pathlib import Path

HEAVY = ("pandas", "torch", "ray")
AGAIN = """
import sys
from medray.jobs.run import run
from medray.spec.jobs import Ingest, Train

done = run(sys.argv[1], storage=sys.argv[2], cluster="inline")
assert done.steps[0].units.skipped == 8, done.steps
print([name for name in {heavy} if name in sys.modules])
print(Ingest.__pydantic_complete__, Train.__pydantic_complete__)
"""


def test_what_is_done_already_is_told_without_heavy_libraries(tmp_path: Path, cohort: Path) -> None:
    job, storage = tmp_path / "job.yaml", str(tmp_path / "store")
    format_ = {"name": "nifti", "layout": "msd"}
    step = {"kind": "ingest", "format": format_, "source": str(cohort), "output": "heads"}
    job.write_text(json.dumps({**step, "policy": {"error_budget": 0.2}}))
    first = "import sys; from medray.jobs.run import run; "
    first += "run(sys.argv[1], storage=sys.argv[2], cluster='inline')"
    for code in (first, AGAIN.format(heavy=HEAVY)):
        command = [sys.executable, "-c", code, str(job), storage]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["[]", "True False"]
