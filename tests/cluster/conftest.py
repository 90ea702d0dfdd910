"""A head for all drills of a module, and a job for it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from head import Head, a_head


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A real Ray head with a token of its own."""
    with a_head(tmp_path_factory.mktemp("head") / "token") as one:
        yield one


@pytest.fixture
def job(cohort: Path, tmp_path: Path) -> dict[str, Any]:
    """Eight small volumes in eight units, and one input that is refused."""
    return {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "units": {"samples": 1},
        "policy": {"error_budget": 0.2},
    }


@pytest.fixture
def job_file(job: dict[str, Any], tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(job))
    return str(path)
