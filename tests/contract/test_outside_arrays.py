"""A format that comes by an entry point says what its arrays are, and is held to it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from medray.cli import main
from medray.errors import FatalError
from medray.jobs.run import run
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

HERE = Path(__file__).parent
SIGNALS = 500_000, 1_000


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    metadata = tmp_path / "plugin" / "medray_signals-1.0.dist-info"
    metadata.mkdir(parents=True)
    about = "Metadata-Version: 2.1\nName: medray-signals\nVersion: 1.0\n"
    (metadata / "METADATA").write_text(about)
    entry = "[medray.formats]\ntoy-signals = toy_signals:Signals\n"
    (metadata / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.syspath_prepend(str(metadata.parent))
    source = tmp_path / "source"
    source.mkdir()
    for number, size in enumerate(SIGNALS):
        values = np.random.default_rng(number).normal(size=(12, size)).astype(np.float32)
        values.tofile(source / f"r{number}@500.f32")
    return source


def ingest(objects: Objects, source: Path, **options: bool) -> str:
    step = {
        "kind": "ingest",
        "format": {"name": "toy-signals", **options},
        "source": str(source),
        "output": "recordings",
    }
    return run([step], storage=objects, cluster="inline").output or ""


def test_axes_units_and_chunks_stand_in_the_manifest(objects: Objects, recordings: Path) -> None:
    dataset = open_dataset(objects, ingest(objects, recordings))
    spec = dataset.manifest.arrays["signal"]
    assert [(axis.name, axis.unit) for axis in spec.axes] == [("lead", ""), ("time", "second")]
    assert (spec.dtypes, spec.chunk, spec.form) == (("float32",), (None, 5000), "plain")
    long = dataset.shards[0].array(0, "signal")
    assert (long.shape, long.chunk) == ((12, SIGNALS[0]), (12, 5000))
    assert open_dataset(objects, "recordings").digest == dataset.digest


def test_show_prints_them(objects: Objects, recordings: Path) -> None:
    ingest(objects, recordings)
    asked = ["show", "recordings", "--storage", objects.url]
    told = CliRunner().invoke(main, asked).output
    line = "signal: lead, time (second); float32; chunk all x 5000; plain"
    assert [one.split("  ")[-1].strip() for one in told.splitlines() if "lead" in one] == [line]
    (shown,) = json.loads(CliRunner().invoke(main, [*asked, "--json"]).output)["arrays"].values()
    assert [axis["kind"] for axis in shown["axes"]] == ["channel", "time"]
    assert (shown["dtypes"], shown["chunk"]) == (["float32"], [None, 5000])


def test_what_it_does_not_say_ends_the_run(objects: Objects, recordings: Path) -> None:
    with pytest.raises(FatalError, match="undeclared-array"):
        ingest(objects, recordings, declared=False)
    assert list(objects.walk("datasets/recordings/shards")) == []
