"""What travels to a cluster: code and profiles, named by their content; no secrets, no data."""

import io
import zipfile
from pathlib import Path

import pytest
import yaml

from medray.errors import SpecError
from medray.jobs.remote import shipment
from medray.jobs.remote.shipment import Shipment, pack
from medray.spec.profiles import CLUSTER, RayCluster
from medray.spec.storage import Storage


def profile(**fields: object) -> RayCluster:
    made = CLUSTER.validate_python({"kind": "ray", "medray": "installed", **fields})
    assert isinstance(made, RayCluster)
    return made


def names(data: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(data)).namelist())


def test_profiles_travel_as_they_were_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pack(profile(max_runs=7), "lab", Storage(url="s3://bucket"), "s3").zipped()
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert names(data) == {"cluster/lab.yaml", "storage/s3.yaml"}
    there = CLUSTER.validate_python(yaml.safe_load(archive.read("cluster/lab.yaml")))
    assert there == profile(max_runs=7)
    assert yaml.safe_load(archive.read("storage/s3.yaml"))["url"] == "s3://bucket"


def test_the_name_is_made_of_the_content_alone(tmp_path: Path) -> None:
    def packed() -> Shipment:
        return pack(profile(working_dir=str(tmp_path)), "c", None, "")

    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("")
    first = packed()
    (tmp_path / "a.py").touch()
    again = packed()
    assert (again.name, again.zipped()) == (first.name, first.zipped())
    (tmp_path / "a.py").write_text("2")
    second = packed()
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    third = packed()
    (tmp_path / "b.py").write_text("2")
    (tmp_path / "c.py").write_text("")
    assert len({one.name for one in (first, second, third, packed())}) == 4


def test_secrets_data_and_links_stay_at_home(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    project = tmp_path / "project"
    for name in (
        "pkg/mod.py",
        ".env",
        ".git/config",
        "key.pem",
        "medray-data/x",
        "b/__pycache__/c",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    (project / "link.txt").symlink_to(outside)
    data = pack(profile(working_dir=str(project)), "c", None, "").zipped()
    assert names(data) == {"pkg/mod.py", "cluster/c.yaml"}


def test_sources_travel_where_asked() -> None:
    data = pack(profile(medray="shipped"), "c", None, "").zipped()
    assert {"medray/__main__.py", "medray/jobs/drive.py", "medray/report/page.css"} <= names(data)
    assert len(data) < 2**21, "it is uploaded before every first run of a version"


def test_what_is_too_large_or_missing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipment, "MAX_BYTES", 10)
    (tmp_path / "a.py").write_text("12345678901")
    with pytest.raises(SpecError, match="too-large-to-ship"):
        pack(profile(working_dir=str(tmp_path)), "c", None, "")
    with pytest.raises(SpecError, match="no-such-folder"):
        pack(profile(working_dir=str(tmp_path / "none")), "c", None, "")
