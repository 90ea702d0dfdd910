"""A run that fails says so: its page, `status`, `runs`; and times are those of the first run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from medray.cli import main
from medray.jobs.kept import stored_result
from medray.storage.store.objects import Objects


@pytest.fixture
def medray(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MEDRAY_STORAGE", objects.url)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


@pytest.fixture
def job(cohort: Path, tmp_path: Path) -> Path:
    """Its second step refuses its only input: a mask that is no NIfTI."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.nii.gz").write_bytes(b"no volume")
    ingest = {"kind": "ingest", "format": {"name": "nifti"}}
    first = {**ingest, "source": str(cohort), "output": "heads", "policy": {"error_budget": 1}}
    second = {**ingest, "source": str(broken), "output": "others"}
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump_all([first, second]))
    return path


def test_a_failed_run_has_a_page_and_says_why(
    job: Path, medray: Any, objects: Objects, tmp_path: Path
) -> None:
    failed = medray("run", str(job), "--cluster", "inline")
    assert failed.exit_code == 3
    page = objects.get("reports/two/report.html").decode()
    assert "Step 2, ingest, failed" in page
    assert "[error-budget]" in page
    assert "policy.error_budget" in page, "the hint"
    (row,) = json.loads(medray("quarantine", "others", "--json").stdout)["quarantine"]
    assert row["code"] in page.split("error-budget")[-1], "what was refused stands on it"
    assert ">heads" in page, "and what was done before"
    (told,) = json.loads(medray("runs", "--json").stdout)["runs"]
    assert (told["state"], told["error"]["code"]) == ("failed", "error-budget")
    assert told["error"]["hint"].startswith("`medray quarantine others`")
    assert "error-budget" in medray("runs").stdout
    said = medray("status", told["job"]).stdout.splitlines()[1]
    assert re.search(r"1 of 1 inputs were refused.* \[error-budget\] \(`medray quarantine", said)


def test_what_was_done_before_keeps_its_time(
    job: Path, medray: Any, objects: Objects, tmp_path: Path
) -> None:
    medray("run", str(job), "--cluster", "inline", "--no-report")
    (tmp_path / "broken" / "a.nii.gz").unlink()
    source = next((tmp_path / "cohort/imagesTr").glob("case_3*"))
    (tmp_path / "broken" / "b.nii.gz").write_bytes(source.read_bytes())
    (first,) = [name for name in objects.folders("runs") if _output(objects, name) == "heads"]
    made = json.loads(objects.get(f"runs/{first}/result.json"))
    objects.put(f"runs/{first}/result.json", json.dumps({**made, "seconds": 4321.0}).encode())
    done = medray("run", str(job), "--cluster", "inline")
    assert done.exit_code == 0
    assert "72 min 01 s" in objects.get("reports/two/report.html").decode()
    (told,) = json.loads(medray("runs", "--json").stdout)["runs"]
    assert (told["state"], told["error"]) == ("done", {})


def test_the_time_of_a_run_that_failed_is_part_of_the_steps(
    medray: Any, objects: Objects, cohort: Path, tmp_path: Path
) -> None:
    step = {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "policy": {"error_budget": 0.0},
    }
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(step))
    assert medray("run", str(path), "--cluster", "inline", "--no-report").exit_code == 3
    (run,) = [name for name in objects.folders("runs") if name.startswith("ingest-")]
    objects.put(f"runs/{run}/spent.json", b'{"seconds": 1000.0}')
    step["policy"] = {"error_budget": 1.0}
    path.write_text(yaml.safe_dump(step))
    assert medray("run", str(path), "--cluster", "inline", "--no-report").exit_code == 0
    result = stored_result(objects, run)
    assert result is not None
    assert 1000 < result.seconds < 1100


def _output(objects: Objects, run: str) -> str:
    try:
        return str(json.loads(objects.get(f"runs/{run}/result.json"))["output"].partition("@")[0])
    except FileNotFoundError:
        return ""
