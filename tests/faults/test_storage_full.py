"""F14: a full disk, or a limit on file size, ends in an error that names the path; resume works."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from killing import Finish, Job, Start, plain

from tests.parts import lack, need

SHAPE = {"shape": [2, 64, 512]}  # 512 KiB an image, which random numbers keep


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1.5 MB."""
    need("root")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(place)]
    if subprocess.run(mount).returncode != 0:
        lack("mounts", "mounting is not possible here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_is_named_and_after_space_is_made_the_run_resumes(
    small_disk: Path, finish: Finish, clean: Callable[[Job], str]
) -> None:
    job = Job(small_disk / "root", plain(8), SHAPE)
    status, last = finish(job)
    assert status == 5
    assert all("[storage-full]" in error and str(small_disk) in error for error in last["errors"])
    committed = len(job.commits())
    assert 0 < committed < 8
    assert _shards(job) == committed, "failed attempts leave no bytes behind"

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    status, last = finish(job)
    assert (status, last["digest"], last["computed"]) == (0, clean(job), 8 - committed)


def test_limit_on_file_size_is_named(
    start: Start, finish: Finish, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", [["ok-0"], ["ok-1"]], SHAPE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        status, last = finish(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 1
    assert all("[storage-limit]" in error and str(job.root) in error for error in last["errors"])
    status, last = finish(job)
    assert (status, last["digest"]) == (0, clean(job))


def _shards(job: Job) -> int:
    folders = (job.root / "datasets" / "toys" / "shards").iterdir()
    return sum(any(path.is_file() for path in folder.rglob("*")) for folder in folders)
