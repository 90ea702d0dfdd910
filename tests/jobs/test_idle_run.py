"""A run with nothing to do loads nothing heavy: most of its time is imports."""

import json
import subprocess
import sys
from pathlib import Path

HEAVY = ("numcodecs", "pandas", "pyarrow.compute", "ray", "torch")
AGAIN = """
import importlib.metadata, sys
entry_points, asked = importlib.metadata.entry_points, []
importlib.metadata.entry_points = lambda **group: asked.append(group) or entry_points(**group)
from medray.cli import main
from medray.steps.ingest.spec import IngestSpec
from medray.steps.train.spec import TrainSpec

run = ["run", sys.argv[1], "--storage", sys.argv[2], "--cluster", "inline"]
main([*run, "--no-report", "--json"], standalone_mode=False)
print([name for name in {heavy} if name in sys.modules])
print(asked)
print(IngestSpec.__pydantic_complete__, TrainSpec.__pydantic_complete__)
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
    assert '"skipped": 8' in said
    assert said.splitlines()[-3:] == ["[]", "[]", "True False"]
