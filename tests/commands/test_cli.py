"""The command line: what it offers, what it prints, and how it exits."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from medray.cli import COMMANDS, main
from medray.commands import progress
from medray.commands.progress import Lines
from medray.commands.run import multiplies_bf16
from medray.errors import RetryableError
from medray.jobs.run import run as run_job
from medray.spec.load import check_step, read_job
from medray.steps.base.events import Event
from medray.storage.store.objects import Objects

# Scripts and cron jobs out there hold on to these: additions are fine, removals are not.
FROZEN = {
    "run": ["job", "--set", "--cluster", "--storage", "--json", "--report"],
    "check": ["job", "--cluster", "--set", "--storage", "--json"],
    "resume": ["run", "--cluster", "--storage", "--json", "--report"],
    "cancel": ["run", "--storage"],
    "demo": ["--data", "--cluster", "--storage", "--json", "--report"],
    "runs": ["--storage", "--json"],
    "status": ["run", "--follow", "--storage", "--json"],
    "logs": ["run", "--follow", "--storage"],
    "ls": ["--storage", "--json"],
    "show": ["reference", "--storage", "--json"],
    "quarantine": ["reference", "--storage", "--json"],
    "retry": ["name", "--code", "--storage", "--json"],
    "verify": ["reference", "--storage", "--json"],
    "repair": ["name", "--storage", "--json"],
    "gc": ["--older-than", "--delete", "--storage", "--json"],
    "init": ["folder"],
    "schedule": [],
    "scheduler": ["--once", "--render", "--image", "--storage"],
    "doctor": ["--storage", "--json"],
    "schema": [],
}


@pytest.fixture
def job(cohort: Path, tmp_path: Path) -> Path:
    steps: list[dict[str, Any]] = [
        {
            "kind": "ingest",
            "format": {"name": "nifti", "layout": "msd"},
            "source": str(cohort),
            "output": "heads",
            "policy": {"error_budget": 0.2},
        },
        {
            "kind": "export",
            "data": "heads",
            "format": {"name": "nifti"},
            "to": str(tmp_path / "out"),
        },
    ]
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump_all(steps))
    return path


@pytest.fixture
def medray(objects: Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDRAY_STORAGE", objects.url)

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return invoke


@pytest.fixture
def done(objects: Objects, job: Path) -> Any:
    return run_job(job, storage=objects, cluster="inline")


def test_frozen() -> None:
    context = click.Context(main)
    assert main.list_commands(context) == list(COMMANDS)
    assert set(FROZEN) <= set(COMMANDS)
    for name, wanted in FROZEN.items():
        command = main.get_command(context, name)
        assert command is not None
        offered = [
            option if isinstance(parameter, click.Option) else str(parameter.name)
            for parameter in command.params
            for option in (parameter.opts if isinstance(parameter, click.Option) else [""])
        ]
        assert set(wanted) <= set(offered), name


@pytest.mark.parametrize("name", [*COMMANDS, ""])
def test_help(medray: Any, name: str) -> None:
    result = medray(*([name] if name else []), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_json_is_one_object_and_all_of_stdout(medray: Any, job: Path) -> None:
    first = medray("run", str(job), "--cluster", "inline", "--json", "--no-report")
    assert first.exit_code == 0
    ingest, export = json.loads(first.stdout)["steps"]
    shown = "kind run output digest units samples_quarantined metrics cautions"
    assert set(ingest) == set(shown.split())
    none = dict.fromkeys(("skipped", "quarantined", "passed_over"), 0)
    assert ingest["units"] == {**none, "planned": 9, "committed": 8, "quarantined": 1}
    assert export["units"] == {**none, "planned": 8, "committed": 8}
    assert ingest["output"].startswith("heads@")
    second = json.loads(
        medray("run", str(job), "--cluster", "inline", "--json", "--no-report").stdout
    )
    assert [step["digest"] for step in second["steps"]] == [ingest["digest"], export["digest"]]
    assert [step["units"]["committed"] for step in second["steps"]] == [0, 0]


def test_a_run_ends_with_its_account(medray: Any, job: Path, objects: Objects) -> None:
    result = medray("run", str(job), "--cluster", "inline")
    assert result.exit_code == 0
    assert "quarantined in heads: no-label 1" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "ingest" in line)
    assert row.split()[:6] == ["ingest", "heads", "9", "8", "0", "1"]
    page = result.stdout.splitlines()[-1].removeprefix("report ")
    assert Path(page).is_file()
    assert "ingest heads: 9 of 9, 1 quarantined" in result.stderr


def test_that_another_job_made_the_same_name_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"output": "heads@0123456789", "others": ["heads@abcdef0123"]}
    Lines()(Event("contended", fields))
    assert capsys.readouterr().err == (
        "warning: another job made heads@abcdef01 meanwhile; heads is 01234567 now. "
        "Let each job write names of its own\n"
    )


def test_a_run_says_rows_a_second_and_what_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = chain([100.0, 100.0, 100.0, 100.0, 110.0, 110.0], repeat(120.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines = Lines()
    lines(Event("begin", {"kind": "screen", "output": "s"}))
    assert not capsys.readouterr().err
    lines(Event("step", {"kind": "screen", "output": "s", "inputs": 5, "inputs_done": 1}))
    unit = {"state": "committed", "inputs": 1, "quarantined": 0, "passed_over": 0}
    unit["samples_quarantined"] = 0
    lines(Event("unit", {**unit, "rows": 65_000}))
    lines(Event("unit", {**unit, "rows": 1}))
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == [
        "screen s: 2 of 5, 6,500 rows/s, 0:00:30 left",
        "screen s: 3 of 5, 3,250 rows/s, 0:00:20 left",
    ]


def test_a_wrong_job_file_is_status_2(medray: Any, job: Path) -> None:
    result = medray("run", str(job), "--cluster", "inline", "--set", "1.format.layout=mds")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "document 1, format.layout" in result.stderr
    assert "Traceback" not in result.stderr


def test_beyond_the_budget_is_status_3_and_json_says_why(medray: Any, job: Path) -> None:
    result = medray(
        "run", str(job), "--cluster", "inline", "--json", "--set", "policy.error_budget=0"
    )
    assert result.exit_code == 3
    error = json.loads(result.stdout)["error"]
    assert (error["code"], error["exit_status"]) == ("error-budget", 3)
    assert "`medray quarantine heads`" in error["hint"]
    listed = medray("quarantine", "heads", "--json")
    assert listed.exit_code == 0
    rows = json.loads(listed.stdout)["quarantine"]
    assert [(row["source"], row["code"], row["files"]) for row in rows] == [
        ("case_0", "no-label", 1)
    ]
    assert "its last step, which made no version" in listed.stderr
    absent = medray("show", "heads")
    assert absent.exit_code == 2
    assert "no version of it is published" in absent.stderr
    assert "datasets here: none yet" in absent.stderr
    assert medray("quarantine", "haeds").exit_code == 2


def test_storage_that_is_not_there_is_told_in_json_too(medray: Any, job: Path) -> None:
    result = medray("run", str(job), "--cluster", "inline", "--json", "--storage", "nowhere")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "no-such-profile"


def test_an_unreachable_store_is_status_5(
    medray: Any, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(objects: Objects) -> None:
        raise RetryableError("away", code="storage-failed")

    monkeypatch.setattr("medray.jobs.run.probe", away)
    assert medray("run", str(job), "--cluster", "inline").exit_code == 5


def test_a_bug_is_status_1_in_one_line_without_values(
    medray: Any, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(objects: Objects) -> None:
        raise RuntimeError("the value of a patient")

    monkeypatch.setattr("medray.jobs.run.probe", bug)
    result = medray("run", str(job), "--cluster", "inline")
    assert result.exit_code == 1
    assert "RuntimeError at test_cli.py" in result.stderr
    assert "patient" not in result.stderr
    assert "Traceback" in medray("--debug", "run", str(job), "--cluster", "inline").stderr


def test_looking(medray: Any, done: Any) -> None:
    assert "heads " in medray("ls").stdout
    shown = json.loads(medray("show", "heads", "--shards", "--json").stdout)
    assert shown["digest"] == done.steps[0].digest
    assert (shown["samples"], shown["parents"]) == (8, [])
    assert shown["inputs"] == {"planned": 9, "committed": 8, "quarantined": 1, "passed_over": 0}
    assert shown["quarantine"] == {"no-label": 1}
    assert sum(shard["rows"] for shard in shown["shards"]) == 8
    table = medray("quarantine", "heads").stdout
    assert "case_0" in table
    assert "no-label" in table
    rows = json.loads(medray("quarantine", "heads", "--json").stdout)["quarantine"]
    assert [row["code"] for row in rows] == ["no-label"]
    assert medray("show", "haeds").exit_code == 2


@pytest.mark.parametrize(
    "command", [["ls"], ["show", "ct"], ["runs"], ["verify"], ["gc"], ["cancel", "job-1"]]
)
@pytest.mark.parametrize("url", [False, True])
def test_looking_makes_no_storage(
    medray: Any, tmp_path: Path, command: list[str], url: bool
) -> None:
    place = tmp_path / "no such"
    result = medray(*command, "--storage", place.as_uri() if url else str(place))
    assert result.exit_code == 2
    assert f"{place}: nothing was ever stored there [no-storage]" in result.stderr
    assert not place.exists()


def test_following(medray: Any, done: Any) -> None:
    assert done.id in medray("runs").stdout
    state = json.loads(medray("status", done.id, "--json").stdout)
    assert state["state"] == "done"
    assert [step["kind"] for step in state["steps"]] == ["ingest", "export"]
    assert "done" in medray("status", done.steps[0].run).stdout
    lines = medray("logs", done.id, "-f").stdout.splitlines()
    assert json.loads(lines[0])["event"] == "job"
    assert medray("status", "job-none").exit_code == 2
    assert medray("cancel", done.id).exit_code == 2
    again = medray("resume", done.id, "--json", "--no-report")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["steps"][0]["units"]["skipped"] == 8


def test_keeping(medray: Any, done: Any, objects: Objects) -> None:
    sound = medray("verify")
    assert sound.exit_code == 0
    path = json.loads(medray("show", "heads", "--shards", "--json").stdout)["shards"][0]["path"]
    objects.put(f"{path}/table.parquet", b"x")
    damaged = medray("verify", "heads", "--json")
    assert damaged.exit_code == 3
    problems = json.loads(damaged.stdout)["problems"]
    assert problems[0]["path"] == f"{path}/table.parquet"
    assert "would be deleted" in medray("gc").stdout
    assert medray("gc", "--older-than", "soon").exit_code == 2


def test_init_lays_out_what_ships_and_keeps_what_is_there(medray: Any, tmp_path: Path) -> None:
    kept = tmp_path / "new/jobs/demo.yaml"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    result = medray("init", "new")
    assert result.exit_code == 0
    assert kept.read_text() == "mine"
    assert (tmp_path / "new/cluster/local.yaml").is_file()
    assert (tmp_path / "new/storage/local.yaml").is_file()
    assert (tmp_path / "new/cluster/grafana.json").is_file()


def test_the_demo_is_in_bf16_where_the_processor_multiplies_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processors = tmp_path / "cpuinfo"
    for flags, precision in (("fpu amx_bf16 amx_tile", "bf16"), ("fpu avx512_bf16x", "fp32")):
        processors.write_text(f"flags : {flags}\n")
        assert multiplies_bf16(processors) is (precision == "bf16")
        monkeypatch.setenv("MEDRAY_DEMO", str(tmp_path))
        monkeypatch.setenv("MEDRAY_DEMO_PRECISION", precision)
        _, train, predict, *_ = (check_step(read_job("demo"), at) for at in range(3))
        assert train.train.precision == predict.precision == precision
    assert not multiplies_bf16(tmp_path / "none")


def test_schema(medray: Any) -> None:
    assert "discriminator" in json.loads(medray("schema").stdout)


def test_sigterm_stops_a_run_that_can_be_resumed(
    objects: Objects, job: Path, tmp_path: Path
) -> None:
    hanging = {**os.environ, "MEDRAY_FAULTS": "shard.written=hang"}
    command = [sys.executable, "-c", "from medray.cli import main; main()", "run", str(job)]
    options = ["--cluster", "inline", "--storage", objects.url, "--json", "--no-report"]
    process = subprocess.Popen(
        [*command, *options], env=hanging, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not list(objects.walk("datasets/heads/attempts")):
        time.sleep(0.05)
        assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)  # does not wait for what hangs
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 4
    assert json.loads(stdout)["error"]["exit_status"] == 4
    assert b"Traceback" not in stderr
    # Whoever hung was alive; the next run does it anew.
    again = run_job(job, storage=objects, cluster="inline")
    assert again.steps[0].units.committed == 8
