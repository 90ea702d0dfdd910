"""The toys plugged in, and files for them."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from plug import plug
from spots_job import SAMPLES


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """medray finds the plugins, here and in processes that are started from here."""
    paths = plug(tmp_path / "plugin")
    for path in paths:
        monkeypatch.syspath_prepend(path)
    inherited = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [*paths, inherited])))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """120 samples of 0 to 11 points, which weigh as many as lie right of 0; and a broken file."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(SAMPLES):
        points = rng.normal(size=(number % 12, 2)).astype(np.float32)
        held = {
            "id": f"s{number:03d}",
            "subject": f"p{number // 2:02d}",
            "points": points.tolist(),
            "marks": [[at, at % 3, 7] for at in range(0, len(points), 2)],
            "weight": float((points[:, 0] > 0).mean()) if len(points) else 0.0,
        }
        (folder / f"s{number:03d}.spots.json").write_text(json.dumps(held))
    (folder / "torn.spots.json").write_text('{"id": "torn"')
    return folder
