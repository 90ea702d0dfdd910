"""What every test stands on: a private home, fault points unarmed, real data where there are any."""

import os
from pathlib import Path

import pytest

from medray.storage.objects import Objects


@pytest.fixture(autouse=True)
def _private(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's home, Ray token or armed faults."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("MEDRAY_FAULTS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """A storage root on disk."""
    return Objects(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data; tests that ask for it are skipped where it is absent."""
    where = os.environ.get("MEDRAY_DATA", "")
    if not where or not Path(where).is_dir():
        pytest.skip("MEDRAY_DATA names no folder with real data")
    return Path(where)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)
