"""F25: any stored object is damaged; the hints are followed word for word; the end is clean."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Ended, here, one_line, write_job

from medray.jobs.storage_by_name import ENVIRONMENT
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

ROUNDS = 4
DATASETS = ("ct", "masks", "scores", "export-masks")
DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": lambda data: data[: len(data) // 2] + flip(data[len(data) // 2 :]),
    "cut": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "deleted": lambda data: None,
}


def flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:] if data else b""


@pytest.fixture
def done(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A root that every kind of step has written to, and the job."""
    form = {"name": "nifti", "layout": "msd"}
    task = {"name": "segmentation", "classes": ["none", "a", "b"]}
    settings = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "augment": None, "threads": 1}
    steps = [
        {"kind": "ingest", "format": form, "source": str(cohort), "output": "ct"},
        {"kind": "train", "data": "ct", "task": task, "output": "net", "train": settings},
        {"kind": "predict", "model": "net", "data": "ct", "output": "masks"},
        {"kind": "evaluate", "predictions": "masks", "data": "ct", "output": "scores"},
        {"kind": "export", "data": "masks", "format": {"name": "nifti"}},
    ]
    steps[0]["policy"] = {"error_budget": 0.5}
    steps[1]["select"], steps[1]["validation"] = {}, {}
    steps[1]["model"] = {"name": "unet", "features": [4, 8]}
    steps[1]["plan"] = {"patch": [8, 8, 8]}
    steps[3]["bootstrap"] = 20
    steps[4]["to"], steps[4]["output"] = str(tmp_path / "out"), "export-masks"
    root = tmp_path / "root"
    monkeypatch.setenv(ENVIRONMENT, str(root))
    job = write_job(tmp_path / "job.yaml", *steps)
    ended = run(job)
    assert ended.status == 0, ended.err
    return root, job


def run(job: str) -> Ended:
    return here("run", job, "--cluster", "inline", "--no-report")


def kind_of(path: Path, root: Path) -> str:
    """Which kind of object it is: its path without ids and numbers."""
    name = path.relative_to(root).as_posix()
    name = re.sub(r"[0-9a-f]{12,}(-[0-9a-f]{6,})*", "<id>", name)
    return re.sub(r"\d+", "<n>", name)


def digests(root: Path) -> dict[str, str]:
    objects = Objects(str(root))
    found = {name: open_dataset(objects, name).digest for name in DATASETS}
    return {**found, "net": open_model(objects, "net").digest}


def follow(ended: Ended, job: str) -> None:
    """Do what the error's hint says, word for word."""
    said = one_line(ended)
    commands = [found.split()[1:] for found in re.findall(r"`(medray [^`]+)`", said)]
    for command in commands:
        more = ["--no-report"] if command[0] == "resume" else []  # a page is drawn in seconds
        here(*command, *more)
    assert commands or "run the job" in said, said
    if "run the job" in said:
        run(job)


def mend(root: Path, job: str) -> int:
    """Verify, run, verify, following every hint; how many rounds it took."""
    for turn in range(ROUNDS):
        looked = here("verify")
        if looked.status:
            follow(looked, job)
            continue
        ran = run(job)
        if ran.status:
            follow(ran, job)
            continue
        if here("verify").status == 0:
            return turn
    raise AssertionError(f"not clean after {ROUNDS} rounds: {here('verify').out}")


@pytest.mark.drill
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_kind_of_object_is_mended_as_the_hints_say(
    damage: str, done: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, job = done
    kinds: dict[str, Path] = {}
    for path in sorted(sound.rglob("*")):
        if path.is_file() and path.name != ".lock-HEAD" and not path.name.startswith(".lock"):
            kinds.setdefault(kind_of(path, sound), path)
    known = digests(sound)
    failed = {}
    for kind, path in kinds.items():
        root = sound.with_name(f"copy-{random.randrange(10**9)}")
        shutil.copytree(sound, root)
        monkeypatch.setenv(ENVIRONMENT, str(root))
        place = root / path.relative_to(sound)
        data = DAMAGE[damage](place.read_bytes())
        place.unlink()
        if data is not None:
            place.write_bytes(data)
        try:
            mend(root, job)
            assert digests(root) == known
            for name in DATASETS:
                assert list(open_dataset(Objects(str(root)), name))
            assert open_model(Objects(str(root)), "net").is_whole
        except Exception as error:  # noqa: BLE001 - all of them are wanted
            failed[kind] = f"{type(error).__name__}: {str(error)[:300]}"
        shutil.rmtree(root)
    assert failed == {}, "\n".join(f"{kind}: {why}" for kind, why in failed.items())
