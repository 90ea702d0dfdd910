"""What a job names as ${NAME} is used, and stands nowhere afterwards: not in storage, at home, in
pages, in what commands print, in Ray's files, or in what a neighbour sees of the processes."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from command import Ended, medray, write_job

CANARY = "zqcanaryqz"
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Six volumes with masks in folders that have the canary in their names; one is damaged."""
    for kind in ("images", "masks"):
        folder = tmp_path / f"{CANARY}-raw/{kind if kind == 'images' else f'{CANARY}-{kind}'}"
        folder.mkdir(parents=True)
        for number in range(6):
            values = np.random.default_rng(number).integers(0, 2, (8, 8, 6)).astype(np.uint8)
            nib.save(nib.Nifti1Image(values, AFFINE), folder / f"{number}.nii.gz")
    broken = tmp_path / f"{CANARY}-raw/images/5.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-20])
    return tmp_path


def hits(root: Path) -> list[str]:
    """Files below `root` in which the canary stands."""
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]


def quiet(ended: Ended, status: int = 0) -> Ended:
    assert ended.status == status, ended.err
    for text in (ended.out, ended.err, ended.seen):
        assert CANARY not in text, text
    return ended


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a process is told where things are; Ray's folders among it."""
    (tmp_path / "home").mkdir()
    with tempfile.TemporaryDirectory(prefix="zq", dir="/tmp") as scratch:
        yield {
            "HOME": str(tmp_path / "home"),
            "TMPDIR": scratch,
            "ZQ_SOURCE": str(tmp_path / f"{CANARY}-raw"),
            "ZQ_MASKS": f"{CANARY}-masks",
            "ZQ_OUT": str(tmp_path / f"{CANARY}-out"),
            "ZQ_BUDGET": "0.50731",
            "ZQ_GONE": str(tmp_path / f"{CANARY}-gone"),
            "ZQ_WORD": f"{CANARY}-word",
        }


@pytest.mark.drill
@pytest.mark.timeout(500)
@pytest.mark.parametrize("cluster", ["inline", "local"])
def test_values_of_the_environment_are_found_nowhere(
    raw: Path, place: dict[str, str], cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = raw / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    ingest = {
        "kind": "ingest",
        "format": {"name": "nifti", "images": ["images"], "masks": "${ZQ_MASKS}"},
        "source": "${ZQ_SOURCE}",
        "output": "heads",
        "policy": {"error_budget": "${ZQ_BUDGET}"},
        "split": {"train": 1, "val": 1, "by": "sample"},
    }
    export = {"kind": "export", "data": "heads", "format": {"name": "nifti", "array": "label"}}
    job = write_job(work / "job.yaml", ingest, {**export, "to": "${ZQ_OUT}/a"})
    where = ("--storage", str(work / "store"))
    ended = quiet(medray("--debug", "run", job, "--cluster", cluster, *where, **place))
    assert len(list((raw / f"{CANARY}-out").rglob("*.nii.gz"))) == 5
    run = ended.out.split("run ")[-1].split()[0]
    quiet(medray("resume", run, *where, "--cluster", cluster, **place))
    for command in (
        ["status", run], ["status", run, "--json"], ["logs", run], ["show", "heads"], ["runs"],
        ["show", "heads", "--json"], ["quarantine", "heads"], ["ls"],
    ):  # fmt: skip
        quiet(medray(*command, *where, **place))
    schedule = ("schedule", "add", job, "--name", "nightly", "--cron", "0 2 * * *")
    quiet(medray(*schedule, "--cluster", cluster, *where, **place))
    quiet(medray("schedule", "ls", *where, **place))
    for steps, status in (
        ([{**ingest, "source": "${ZQ_GONE}", "output": "gone"}], 2),
        ([{**ingest, "policy": {"error_budget": 0}, "output": "strict"}], 3),
        ([{**ingest, "format": {"name": "${ZQ_WORD}"}}], 2),
        ([{**ingest, "format": {"name": "nifti", "layout": "${ZQ_WORD}"}}], 2),
        ([{**ingest, "format": {"name": "nifti", "masks": "${ZQ_GONE}"}, "output": "bare"}], 2),
        ([{**export, "to": "${ZQ_SOURCE}/images/0.nii.gz"}], 2),
        ([{**export, "data": "${ZQ_WORD}", "to": "x"}], 2),
        ([{**export, "select": {"split": "${ZQ_WORD}"}, "to": "x"}], 2),
        ([{"kind": "train", "data": "heads", "task": {"name": "${ZQ_WORD}"},
           "model": {"name": "${ZQ_WORD}"}, "output": "net"}], 2),
    ):  # fmt: skip
        bad = write_job(work / "bad.yaml", *steps)
        ended = medray("--debug", "run", bad, "--cluster", cluster, *where, **place)
        assert ended.status == status, (steps, ended.err, ended.out)
        quiet(ended, status)
    assert hits(work) == []
    assert hits(Path(place["HOME"])) == []
    assert hits(Path(place["TMPDIR"])) == []
    assert "${ZQ_SOURCE}" in (work / "store/runs" / run / "job.json").read_text()
    assert os.environ.get("ZQ_SOURCE") is None
