"""What an endpoint's bulk jobs leave behind."""

import tempfile
from pathlib import Path

import pytest

from medray.errors import DataError
from medray.serving.bulk import Bulk


def test_folders_are_made_for_jobs_alone_and_go_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    jobs = Bulk(str(tmp_path / "none"), {"net": "net@1"}, 1, "127.0.0.1:1")
    with pytest.raises(DataError, match="no-such-model"):
        jobs.start({"model": "other", "data": "d", "output": "o"})
    jobs.close()
    assert list(tmp_path.glob("medray-bulk-*")) == []
    answer = jobs.start({"model": "net", "data": "d", "output": "o"})
    (folder,) = tmp_path.glob("medray-bulk-*")
    assert (folder / answer["job"] / "job.yaml").exists()
    jobs._jobs[answer["job"]].process.wait(60)
    jobs.close()
    assert list(tmp_path.glob("medray-bulk-*")) == []
