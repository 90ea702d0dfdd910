"""An impatient user: whatever is wrong, one line says what, where and what to do, and no file is
touched that should not be."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import CLI, Ended, here, one_line, write_job

INGEST: dict[str, Any] = {"kind": "ingest", "format": {"name": "nifti"}, "output": "x"}


PLAIN_DICOM = "{name: dicom, deidentify: {method: none}}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")

    def call(*arguments: str, storage: str = "./root") -> Ended:
        inline = ("--cluster", "inline", "--storage", storage, "--no-report")
        return here("run", *arguments, *inline)

    return call


def nested(depth: int) -> str:
    return "kind: ingest\nformat: " + "{a: " * depth + "1" + "}" * depth


def many_aliases() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("kind: ingest\nsorce: x", "bad-field"),
        ("kind: ingst", "bad-field"),
        ("kind: [a]", "bad-field"),
        ("source: x", "bad-field"),
        ("kind: ingest\nsource: [1]\nformat: {name: nifti}\noutput: x", "bad-field"),
        ("kind: ingest\nsource: ${NOT_SET}/x", "unset-variable"),
        ("kind: ingest\nformat: {name: nifty}\nsource: empty\noutput: x", "unknown-plugin"),
        ("kind: ingest\nformat: {name: nifti, labells: 1}\nsource: empty\noutput: x", "bad-field"),
        ("kind: ingest\nformat: {name: nifti}\nsource: empty\noutput: ../x", "bad-field"),
        ("kind: ingest\nformat: {name: nifti}\nsource: empty\noutput: /x", "bad-field"),
        ("kind: ingest\nformat: {name: nifti}\nsource: empty\noutput: x", "nothing-found"),
        ("kind: ingest\nformat: {name: nifti}\nsource: none\noutput: x", "no-such-source"),
        (f"kind: ingest\nformat: {PLAIN_DICOM}\nsource: file\noutput: x", "no-such-source"),
        (
            f"kind: ingest\nformat: {{name: nifti}}\nsource: {'a' * 4096}\noutput: x",
            "no-such-source",
        ),
        ('kind: ingest\nformat: {name: nifti}\nsource: "a\\0b"\noutput: x', "no-such-source"),
        ("kind: export\ndata: none\nformat: {name: nifti}\nto: out", "no-such-dataset"),
        ("hello", "not-a-mapping"),
        ("", "bad-yaml"),
        ("a: [", "bad-yaml"),
        ("kind: ingest\nkind: train", "duplicate-key"),
        ('a: !!python/object/apply:os.system ["touch canary"]', "bad-yaml"),
        ("kind: ingest\nsource: &a [*a]", "file-too-large"),
        (many_aliases(), "file-too-large"),
        (nested(2000), "bad-yaml"),
        ("#" * 2**21, "file-too-large"),
    ],
)
def test_wrong_job_files(text: str, code: str, run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(text)
    ended = run("job.yaml")
    assert ended.status == 2
    assert one_line(ended)
    assert f"[{code}]" in ended.err  # of several mistakes each has a line
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "root" / "datasets").exists()


@pytest.mark.parametrize("setting", ["a", "a=1", "7.output=x", "1=x", "=", "source.deep=1"])
def test_wrong_settings(setting: str, run: Callable[..., Ended], tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.yaml", {**INGEST, "source": "empty"})
    ended = run(job, "--set", setting)
    assert ended.status == 2
    assert "[bad-set]" in one_line(ended)


@pytest.mark.parametrize("name", ["none.yaml", "none", "empty", "a" * 5000, "a" * 5000 + ".yaml"])
def test_job_files_that_are_not_there(name: str, run: Callable[..., Ended]) -> None:
    ended = run(name)
    assert ended.status == 2
    assert "[no-such-file]" in one_line(ended)


@pytest.mark.parametrize(
    ("storage", "code"),
    [
        ("./file", "bad-storage"),
        ("./file/below", "bad-storage"),
        ("/proc/nobody/root", "bad-storage"),
        ("ftp://host/x", "bad-storage"),
        ("root", "no-such-profile"),
        ("a" * 5000, "no-such-profile"),
    ],
)
def test_roots_that_are_none(
    storage: str, code: str, run: Callable[..., Ended], tmp_path: Path
) -> None:
    job = write_job(tmp_path / "job.yaml", {**INGEST, "source": "empty"})
    ended = run(job, storage=storage)
    assert ended.status == 2
    assert f"[{code}]" in one_line(ended)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "none"),
        ("logs", "../.."),
        ("resume", "none"),
        ("cancel", "none"),
        ("show", "none"),
        ("show", "../x"),
        ("show", "x@../../y"),
        ("quarantine", "../../x"),
        ("verify", "../x@1"),
        ("gc", "--older-than", "soon"),
    ],
)
def test_names_of_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ended = here(*arguments, "--storage", str(tmp_path / "root"))
    assert ended.status == 2
    one_line(ended)


def test_examples_need_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ended = here("init", str(tmp_path / "file"))
    assert ended.status == 2
    assert "[bad-target]" in one_line(ended)


def test_targets_need_a_folder(run: Callable[..., Ended], cohort: Path, tmp_path: Path) -> None:
    job = write_job(
        tmp_path / "job.yaml",
        {**INGEST, "source": str(cohort), "policy": {"error_budget": 0.5}},
        {"kind": "export", "data": "x", "format": {"name": "nifti"}, "to": "file/below"},
    )
    ended = run(job)
    assert ended.status == 2
    assert "[bad-target]" in one_line(ended)


@pytest.mark.drill
def test_stopped_at_odd_moments_and_doubled(cohort: Path, tmp_path: Path) -> None:
    job = write_job(
        tmp_path / "job.yaml",
        {**INGEST, "source": str(cohort), "policy": {"error_budget": 0.5}},
    )
    root = tmp_path / "root"
    command = [*CLI, "run", job, "--cluster", "inline", "--storage", str(root), "--no-report"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for wait_s in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        )
        time.sleep(wait_s)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        # 1 and a traceback are Python's own, before medray is there at all.
        assert process.returncode in (0, 4, 130) or "medray" not in err.rpartition("File")[2], err
    both = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        )
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert here("verify", "--storage", str(root)).status == 0
