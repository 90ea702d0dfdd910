"""Verify names what is not as committed; gc takes what nobody names, and nothing else."""

import io
import json
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

from medray.errors import DataError
from medray.storage.catalog import check
from medray.storage.catalog.check import MANY, verify_all, verify_reference
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.garbage import collect
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import ModelPackage, save_model
from medray.storage.catalog.publish import publish
from medray.storage.catalog.quarantine import STOPPED, keep_refusals, path_of
from medray.storage.shards.records import Refusal, sum_of_table
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import DECLARED

LATER_S = -3600.0  # an age by which everything is old


@pytest.fixture
def dataset(objects: Objects) -> Dataset:
    """Two units, a refusal while planning and one of an input."""
    ledger = Ledger(objects, "ct")
    commits = []
    for number in range(2):
        attempt = ledger.begin(f"u{number}")
        writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
        image = np.arange(4 * 80 * 80, dtype=np.int32).reshape(1, 4, 80, 80) + number
        writer.add(Sample(f"s{number}", {"subject": "p"}, {"image": image}))
        refused = [Refusal("bad", "gantry-tilt", "tilted")] if number else []
        commit = Commit(f"u{number}", attempt.id, writer.finish(), 1 + number, refused)
        commits.append(ledger.commit(attempt, commit))
    return publish(
        objects,
        "ct",
        kind="ingest",
        spec="",
        commits=Commits.of(commits),
        refused=[Refusal("no", "rejected-no-image", "a report")],
        parents=[],
    )


@pytest.fixture
def model(objects: Objects) -> ModelPackage:
    return save_model(
        objects,
        "net",
        weights=save({"w": np.zeros(3, np.float32)}),
        config={"model": {"name": "unet"}},
        metrics={},
        parents=[],
        spec="",
        card="# net",
    )


def wrong(objects: Objects, reference: str = "ct") -> list[tuple[str, str]]:
    return [(item.path, item.what) for item in verify_reference(objects, reference)[1]]


def test_sound_ones_are_sound(objects: Objects, dataset: Dataset, model: ModelPackage) -> None:
    checked, problems = verify_all(objects)
    assert problems == []
    # head, table of units, 2 records, 2 shards of table + image + metadata, quarantine, the model
    files = sum(len(Ledger(objects, "ct").commit_of(unit).shard.files) for unit in ("u0", "u1"))
    assert checked == 2 + 2 + files + 1 + 1 + len(model.files)


@pytest.mark.parametrize("many", [1, MANY])
def test_a_flipped_bit_in_any_object_is_found(
    objects: Objects, dataset: Dataset, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MANY", many)
    for unit in ("u0", "u1"):
        shard = Ledger(objects, "ct").commit_of(unit).shard
        for name in shard.files:
            path = f"{shard.path}/{name}"
            data = objects.get(path)
            objects.put(path, data[:-1] + bytes([data[-1] ^ 1]))
            assert wrong(objects) == [(path, "its content was altered")]
            objects.put(path, data)
    assert wrong(objects) == []


@pytest.mark.parametrize("many", [1, MANY])
def test_tables_alone_are_held_against_their_version(
    objects: Objects, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a unit is a table of rows, its record is not parsed; of many, others look at it."""
    monkeypatch.setattr(check, "MANY", many)
    ledger, commits = Ledger(objects, "t"), []
    for number in range(600):
        attempt = ledger.begin(f"u{number}")
        writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
        writer.add(Sample(f"s{number}", {"age": number}))
        commit = Commit(attempt.unit, attempt.id, writer.finish(), 1, [])
        commits.append(ledger.commit(attempt, commit))
    assert all(
        sum_of_table(*one.shard.files["table.parquet"]) == one.shard.sha256 for one in commits
    )
    dataset = publish(
        objects, "t", kind="test", spec="", commits=Commits.of(commits), refused=[], parents=[]
    )
    assert verify_reference(objects, "t") == (2 + 2 * 600, [])
    changes = {
        f"{dataset.units[3].path}/table.parquet": "its content was altered",
        f"{dataset.units[598].path}/table.parquet": "its content was altered",
        "datasets/t/commits/u5.json": "damaged: it is not what medray wrote",
    }
    for path in changes:
        data = objects.get(path)
        objects.put(path, data[:-1] + bytes([data[-1] ^ 1]))
    objects.delete([f"{dataset.units[9].path}/table.parquet", "datasets/t/commits/u11.json"])
    changes[f"{dataset.units[9].path}/table.parquet"] = "missing"
    changes["datasets/t/commits/u11.json"] = "missing"
    assert dict(wrong(objects, "t")) == changes


def test_missing_and_cut_objects_are_named(objects: Objects, dataset: Dataset) -> None:
    shard = dataset.units[0].path
    table = objects.get(f"{shard}/table.parquet")
    objects.put(f"{shard}/table.parquet", table[:-1])
    cut = f"{len(table) - 1} bytes instead of {len(table)}"
    assert wrong(objects) == [(f"{shard}/table.parquet", cut)]
    objects.delete([f"{shard}/table.parquet"])
    assert wrong(objects) == [(f"{shard}/table.parquet", "missing")]


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "0" * 32},
        {"samples": 3},
        {"parents": ["mr@1"]},
        {"inputs": {"planned": 4, "committed": 2, "quarantined": 1}},
        {"refused": {"table": "", "codes": {}}},
        {"version": "0" * 32},
    ],
)
def test_an_altered_manifest_is_found(
    objects: Objects, dataset: Dataset, change: dict[str, object]
) -> None:
    path = f"datasets/ct/versions/{dataset.version}.json"
    objects.put(path, json.dumps({**asdict(dataset.manifest), **change}).encode())
    assert wrong(objects)[0][0] == path


def test_altered_records_are_found(objects: Objects, dataset: Dataset) -> None:
    record = "datasets/ct/commits/u0.json"
    kept = objects.get(record)
    raw = json.loads(kept)
    raw["shard"]["rows"] = 7
    objects.put(record, json.dumps(raw).encode())
    assert wrong(objects) == [(record, "its rows is not that of the manifest")]
    objects.put(record, b"{}")
    assert wrong(objects) == [(record, "damaged: it is not what medray wrote")]
    refusing = "datasets/ct/commits/u1.json"
    whole = objects.get(refusing)
    objects.put(record, kept)
    for refused in ([], [{"source": "bad", "code": "gantry-tilt", "reason": "no tilt"}]):
        objects.put(refusing, json.dumps({**json.loads(whole), "refused": refused}).encode())
        assert wrong(objects) == [(refusing, "its record is not that of the manifest")]
    objects.put(refusing, whole)
    objects.delete([record])
    assert wrong(objects) == [(record, "missing")]


def test_a_quarantine_that_was_tampered_with_is_found(objects: Objects, dataset: Dataset) -> None:
    path = path_of("ct", dataset.manifest.refused.table)
    keep_refusals(objects, "ct", Commits.of([]), [Refusal("no", "rejected-no-image", "a report")])
    objects.put(path, objects.get(path_of("ct", STOPPED)))
    assert wrong(objects) == [(path, "its rows are not those that were committed")]
    objects.put(path, b"x")
    assert wrong(objects) == [(path, "cannot be read")]
    objects.delete([path])
    assert wrong(objects) == [(path, "missing")]


def test_a_reason_that_was_changed_with_its_record_is_found(
    objects: Objects, dataset: Dataset
) -> None:
    path = path_of("ct", dataset.manifest.refused.table)
    table = pq.ParquetFile(io.BytesIO(objects.get(path))).read(use_threads=False).to_pylist()
    changed = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{**row, "reason": "straight"} for row in table]), changed)
    objects.put(path, changed.getvalue())
    record = "datasets/ct/commits/u1.json"
    objects.put(record, objects.get(record).replace(b"tilted", b"straight"))
    assert [what for _, what in wrong(objects)] == [
        "its record is not that of the manifest",
        "its rows are not those that were committed",
    ]


def test_a_changed_model_is_found(objects: Objects, model: ModelPackage) -> None:
    weights = f"models/net/{model.folder}/model.safetensors"
    data = objects.get(weights)
    objects.put(weights, data[:-1] + b"\x01")
    assert wrong(objects, "net") == [(weights, "its content was altered")]
    objects.put(weights, data)
    manifest = f"models/net/versions/{model.version}.json"
    raw = json.loads(objects.get(manifest))
    for change in ({"metrics": {"val_dice": 1.0}}, {"version": "0" * 32}):
        objects.put(manifest, json.dumps({**raw, **change}).encode())
        found = [(manifest, "altered: its content is not what its name says")]
        assert wrong(objects, "net") == found


def test_rubbish_for_a_manifest_is_named(objects: Objects, dataset: Dataset) -> None:
    objects.put(f"datasets/ct/versions/{dataset.version}.json", b"[")
    path = f"datasets/ct/versions/{dataset.version}.json"
    assert [item.path for item in verify_all(objects)[1]] == [path]


def test_gc_takes_what_no_commit_names(objects: Objects, dataset: Dataset) -> None:
    ledger = Ledger(objects, "ct")
    loser = ledger.begin("u0")
    abandoned = ledger.begin("u9")
    for attempt in (loser, abandoned):
        objects.put(f"{ledger.shard_path(attempt)}/table.parquet", b"half")
    expected = {
        (ledger.shard_path(loser), "its attempt was not committed"),
        (ledger.shard_path(abandoned), "its attempt was not committed"),
        ("datasets/ct/attempts/u0", "the unit is committed"),
        ("datasets/ct/attempts/u1", "the unit is committed"),
    }
    assert collect(objects, age_s=3600, delete=True) == []  # all of it is too young
    found = collect(objects, age_s=LATER_S)
    assert {(item.path, item.why) for item in found} == expected
    assert objects.exists(f"{ledger.shard_path(loser)}/table.parquet")  # that was a dry run
    collect(objects, age_s=LATER_S, delete=True)
    assert collect(objects, age_s=LATER_S) == []
    assert verify_all(objects)[1] == []
    assert open_dataset(objects, "ct").sample(1).arrays["image"][0, 0, 0, 0] == 1
    # The record that u9 was begun stays: it may tell of a poison.
    assert list(objects.walk("datasets/ct/attempts/u9"))


def test_gc_keeps_shards_of_versions_whose_records_are_gone_or_damaged(
    objects: Objects, dataset: Dataset
) -> None:
    objects.delete(["datasets/ct/commits/u0.json"])
    objects.put("datasets/ct/commits/u1.json", b"{}")
    found = collect(objects, age_s=LATER_S)
    assert [item for item in found if "/shards/" in item.path] == []


def test_gc_takes_checkpoints_of_trainings_that_are_done(
    objects: Objects, model: ModelPackage
) -> None:
    for run in ("train-a", "train-b"):
        objects.put(f"runs/{run}/checkpoints/0000000001-x/state.json", b"{}")
        objects.put(f"runs/{run}/folds/3/checkpoints/0000000001-x/state.json", b"{}")
    objects.put("runs/train-a/result.json", b"{}")
    objects.put("models/net/0123-a/model.safetensors", b"half")
    found = collect(objects, age_s=LATER_S)
    assert {(item.path, item.why) for item in found} == {
        ("runs/train-a/checkpoints", "the training is done"),
        ("runs/train-a/folds/3/checkpoints", "the training is done"),
        ("models/net/0123-a", "no version names it"),
    }


def test_gc_goes_on_with_what_damage_does_not_hide(
    objects: Objects, dataset: Dataset, model: ModelPackage
) -> None:
    """A dataset whose manifest is damaged, and beside it one whose attempt was abandoned."""
    objects.put(f"datasets/ct/versions/{dataset.version}.json", b"[")
    objects.put(f"models/net/versions/{model.version}.json", b"[")
    objects.put(f"models/net/{model.version}-a/model.safetensors", b"half")
    abandoned = Ledger(objects, "zz").begin("u1")
    path = Ledger(objects, "zz").shard_path(abandoned)
    objects.put(f"{path}/table.parquet", b"half")
    objects.put("datasets/Not ours/shards/x-1/table.parquet", b"?")
    spared: list[DataError] = []
    found = collect(objects, age_s=LATER_S, delete=True, spared=spared)
    assert [item.path for item in found] == [path]
    assert {(error.about, error.code) for error in spared} == {
        (f"datasets/ct/versions/{dataset.version}.json", "damaged-record"),
        (f"models/net/versions/{model.version}.json", "damaged-record"),
    }
    assert objects.exists("datasets/Not ours/shards/x-1/table.parquet")


def test_gc_takes_tables_of_units_that_no_version_names(
    objects: Objects, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = f"datasets/ct/units/{dataset.manifest.units.table}.arrow"
    objects.put("datasets/ct/units/abc.arrow", b"of a publishing that was cut")
    found = collect(objects, age_s=LATER_S, delete=True)
    assert ("datasets/ct/units/abc.arrow", "no version names it") in {
        (item.path, item.why) for item in found
    }
    assert not objects.exists("datasets/ct/units/abc.arrow")
    assert objects.exists(named)
    # Its version comes while gc is at it.
    head = objects.get(f"datasets/ct/versions/{dataset.version}.json")
    objects.delete([f"datasets/ct/versions/{dataset.version}.json", "datasets/ct/HEAD"])
    delete = Objects.delete

    def late(self: Objects, paths: Iterable[str]) -> None:
        paths = list(paths)
        delete(self, paths)
        if named in paths:
            objects.put_new(f"datasets/ct/versions/{dataset.version}.json", head)

    monkeypatch.setattr(Objects, "delete", late)
    found = collect(objects, age_s=LATER_S, delete=True)
    assert named not in {item.path for item in found}
    assert len(open_dataset(objects, f"ct@{dataset.version}").units) == 2
