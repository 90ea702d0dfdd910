"""The schedule commands: what they say, how they exit, what they render."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from medray.cli import main
from medray.storage.store.objects import Objects


@pytest.fixture
def medray(objects: Objects, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    step = {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "policy": {"error_budget": 0.2},
    }
    (tmp_path / "heads.yaml").write_text(yaml.safe_dump(step))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDRAY_STORAGE", objects.url)

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return invoke


def add(medray: Any, *more: str) -> Result:
    night = ("--cron", "0 22 * * *", "--tz", "Europe/Berlin", "--cluster", "inline")
    result: Result = medray("schedule", "add", "heads.yaml", *night, *more)
    return result


def test_the_life_of_a_schedule(medray: Any) -> None:
    assert "22:00 CE" in add(medray, "--window", "22:00-06:00").output
    (listed,) = json.loads(medray("schedule", "ls", "--json").stdout)["schedules"]
    assert (listed["name"], listed["tz"], listed["last"]) == ("heads", "Europe/Berlin", None)
    assert medray("schedule", "pause", "heads").exit_code == 0
    (listed,) = json.loads(medray("schedule", "ls", "--json").stdout)["schedules"]
    assert (listed["state"], listed["next"]) == ("paused", None)
    assert "next due" in medray("schedule", "resume", "heads").output
    assert "window 22:00-06:00" in medray("schedule", "show", "heads").output
    assert medray("schedule", "rm", "heads").exit_code == 0
    assert medray("schedule", "show", "heads").exit_code == 2


@pytest.mark.drill
def test_run_now(medray: Any, objects: Objects) -> None:
    add(medray)
    assert medray("schedule", "run", "heads").exit_code == 0
    shown = json.loads(medray("schedule", "show", "heads", "--json").stdout)
    (record,) = shown["history"]
    assert (record["state"], record["end"]["steps"][0]["units"]["committed"]) == ("done", 8)
    assert medray("schedule", "page", "heads").stdout.strip().endswith(".html")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--cron", "0 25 * * *"), "bad-field"),
        (("--tz", "Europe/Bonn"), "bad-field"),
        (("--window", "22-6"), "bad-field"),
        (("--set", "nonsense=1"), "bad-set"),
        (("--cluster", "none-such"), "no-such-profile"),
    ],
)
def test_what_is_wrong_is_refused_when_added(medray: Any, arguments: Any, code: str) -> None:
    result = add(medray, *arguments)
    assert result.exit_code == 2
    assert f"[{code}]" in result.stderr
    assert json.loads(medray("schedule", "ls", "--json").stdout)["schedules"] == []


def test_the_unit_of_systemd(medray: Any, tmp_path: Path) -> None:
    text = medray("scheduler", "--render", "systemd", "--storage", "s3 night").stdout
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert lines["ExecStart"].endswith("/medray scheduler --storage 's3 night'")
    assert lines["WorkingDirectory"] == str(tmp_path)
    assert lines["KillMode"] == "mixed"
    assert int(lines["TimeoutStopSec"]) > 20


@pytest.mark.needs("systemd")
def test_systemd_takes_the_unit(medray: Any, tmp_path: Path) -> None:
    text = medray("scheduler", "--render", "systemd", "--storage", "s3 night").stdout
    unit = tmp_path / "medray-scheduler.service"
    unit.write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_the_cronjob_of_kubernetes(medray: Any) -> None:
    text = medray("scheduler", "--render", "kubernetes", "--storage", "s3", "--image", "here/m:1")
    manifest = yaml.safe_load(text.stdout)
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "CronJob")
    pod = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"] == ["medray", "scheduler", "--once", "--storage", "s3"]
    assert pod["containers"][0]["image"] == "here/m:1"
    assert pod["terminationGracePeriodSeconds"] > 20
