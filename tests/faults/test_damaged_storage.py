"""F25, F28, F31: what medray stored itself is damaged, swapped or cut: commands end in a line with
a code, `medray verify` names the object, and nothing is unpickled."""

import json
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import here, one_line, write_job
from safetensors.numpy import save
from test_hostile_input import Canary

from medray.storage.catalog.audit import verify
from medray.storage.store.objects import Objects

SEEDS = 12  # a kind of object, each time with another damage
KINDS = (
    "HEAD",
    "versions/*.json",
    "units/*.arrow",
    "commits/*.json",
    "quarantine/*.parquet",
    "shards/*/table.parquet",
    "shards/*/arrays.zarr/zarr.json",
    "shards/*/arrays.zarr/*/zarr.json",
    "shards/*/arrays.zarr/image/c.*",
)


@pytest.fixture
def store(cohort: Path, tmp_path: Path) -> tuple[Path, str]:
    """A dataset of eight volumes and a refusal, and a job that exports it."""
    ingest = {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "x",
        "policy": {"error_budget": 0.5},
    }
    form = {"name": "ome_zarr"}
    export = {"kind": "export", "data": "x", "format": form, "to": str(tmp_path / "out")}
    root = tmp_path / "root"
    where = ("--cluster", "inline", "--no-report", "--storage", str(root))
    assert here("run", write_job(tmp_path / "ingest.yaml", ingest), *where).status == 0
    return root, write_job(tmp_path / "export.yaml", export)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut short, one byte changed, emptied, or a number made huge."""
    kind = chance.randrange(4)
    if kind == 0:
        return data[: chance.randrange(len(data))]
    if kind == 1:
        return b""
    changed = bytearray(data)
    at = chance.randrange(len(data))
    if kind == 2:
        changed[at] ^= 1 << chance.randrange(8)
        return bytes(changed)
    digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()] or [at]
    at = chance.choice(digits)
    return data[:at] + b"9" * 12 + data[at + 1 :]


def same_but_for_its_date(one: bytes, other: bytes) -> bool:
    """When a version was made is the one thing its name does not vouch for."""
    try:
        first, second = json.loads(one), json.loads(other)
    except ValueError:
        return False
    return bool({**first, "created": ""} == {**second, "created": ""})


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named(kind: str, store: tuple[Path, str]) -> None:
    root, job = store
    (path, *_) = [p for p in sorted((root / "datasets/x").glob(kind)) if p.is_file()]
    original = path.read_bytes()
    where = ("--storage", str(root))
    refused = here("quarantine", "x", "--json", *where).out
    for seed in range(SEEDS):
        path.write_bytes(damaged(original, random.Random(f"{kind} {seed}")))
        if kind.startswith("versions") and same_but_for_its_date(original, path.read_bytes()):
            continue
        found = here("verify", "x", *where)
        if kind.startswith("quarantine") and not found.status:
            # The hash is that of its rows: other bytes may well hold the same.
            assert here("quarantine", "x", "--json", *where).out == refused
            continue
        assert found.status == 3 or (found.status == 2 and kind == "HEAD"), f"seed {seed}"
        one_line(found)
        for command in (["show", "x"], ["quarantine", "x"], ["ls"], ["run", job]):
            more = ("--cluster", "inline", "--no-report") if command[0] == "run" else ()
            ended = here(*command, *more, *where)
            if ended.status:
                one_line(ended)
    path.write_bytes(original)
    assert here("verify", "x", *where).status == 0


@pytest.fixture
def model(tmp_path: Path) -> tuple[Objects, Path]:
    import numpy as np

    from medray.storage.catalog.models import save_model

    objects = Objects(str(tmp_path / "root"))
    made = save_model(
        objects,
        "net",
        weights=save({"w": np.zeros(3, np.float32)}),
        config={"task": {}},
        metrics={},
        parents=[],
        spec="",
        card="",
    )
    return objects, tmp_path / "root/models/net" / made.folder / "model.safetensors"


def pickled(weights: bytes, canary: Path) -> bytes:
    return pickle.dumps({"w": Canary(canary)})


def wrong_offsets(weights: bytes, canary: Path) -> bytes:
    return weights.replace(b"[0,12]", b"[0,99]")


def long_header(weights: bytes, canary: Path) -> bytes:
    return struct.pack("<Q", 2**40) + weights[8:]


def other_values(weights: bytes, canary: Path) -> bytes:
    return weights[:-1] + b"\1"


@pytest.mark.parametrize("change", [pickled, wrong_offsets, long_header, other_values])
def test_weights_are_only_taken_as_committed(
    change: Any, model: tuple[Objects, Path], tmp_path: Path
) -> None:
    from medray.errors import DataError
    from medray.storage.catalog.models import open_model, save_model

    objects, path = model
    canary = tmp_path / "canary"
    weights = path.read_bytes()
    hostile = change(weights, canary)
    path.write_bytes(hostile)
    with pytest.raises(DataError, match="wrong-hash"):
        open_model(objects, "net").weights()
    assert here("verify", "net", "--storage", objects.url).status == 3
    # A package that was made hostile, with hashes that fit.
    if change is not other_values:
        made = save_model(
            objects, "bad", weights=hostile, config={}, metrics={}, parents=[], spec="", card=""
        )
        with pytest.raises(DataError, match="bad-weights"):
            made.weights()
    assert not canary.exists()


def test_an_altered_package_is_not_opened(model: tuple[Objects, Path]) -> None:
    objects, path = model
    manifest = path.parent.parent / "versions" / f"{path.parent.name[:32]}.json"
    document = json.loads(manifest.read_bytes())
    document["config"]["task"] = {"name": "other"}
    manifest.write_text(json.dumps(document))
    ended = here("show", "net", "--storage", objects.url)
    assert ended.status == 3
    assert "[damaged-manifest]" in one_line(ended)


WRITER = """
import sys
from medray.storage.catalog.audit import record
from medray.storage.store.objects import Objects
objects = Objects(sys.argv[1])
for number in range(10):
    record(objects, what="run", about=f"w{sys.argv[2]}@{number}")
"""


@pytest.mark.drill
def test_processes_write_one_chain(objects: Objects) -> None:
    command = [sys.executable, "-c", WRITER, objects.url]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [writer.wait(300) for writer in writers] == [0] * 4
    assert verify(objects) == []
    assert json.loads(objects.get("audit/HEAD"))["number"] == 40
    objects.delete(["audit/000000017.json"])
    ended = here("verify", "--storage", objects.url)
    assert ended.status == 3
    assert "audit/000000017.json" in ended.out
