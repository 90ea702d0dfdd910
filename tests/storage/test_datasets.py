"""Versions: publishing is idempotent, equal content has an equal digest, inputs add up."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from medray.clock import VirtualClock
from medray.errors import DataError, PassedOver, SpecError
from medray.storage.catalog.check import verify_reference
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.manifest import Counts, encode
from medray.storage.catalog.publish import publish
from medray.storage.catalog.versions import Head, check_name, heads, move_head, read_head
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import DECLARED


def commit(objects: Objects, unit: str, rows: int = 2, refused: int = 0) -> Commit:
    ledger = Ledger(objects, "d")
    attempt = ledger.begin(unit)
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
    for n in range(rows):
        image = np.full((1, 4, 4), n, "uint8")
        split = "val" if n % 2 else "train"
        writer.add(Sample(f"{unit}-{n}", {"split": split, "n": n}, {"image": image}))
    gone = [Refusal(f"{unit}-bad{n}", "bad", "why") for n in range(refused)]
    return ledger.commit(attempt, Commit(unit, attempt.id, writer.finish(), rows + refused, gone))


def make(objects: Objects, commits: list[Commit], refused: list[Refusal] | None = None) -> Dataset:
    return publish(
        objects,
        "d",
        kind="ingest",
        spec="s",
        commits=Commits.of(commits),
        refused=refused or [],
        parents=[],
    )


def test_publishing_again_changes_nothing(objects: Objects) -> None:
    commits = [commit(objects, "u"), commit(objects, "v", refused=1)]
    first = make(objects, commits)
    before = {entry.path: entry.etag for entry in objects.walk("datasets/d/versions")}
    again = make(objects, commits)
    assert again.manifest == first.manifest
    assert {entry.path: entry.etag for entry in objects.walk("datasets/d/versions")} == before
    assert open_dataset(objects, "d").version == first.version


def test_a_unit_done_again_makes_a_version_that_names_the_new_shard(objects: Objects) -> None:
    first = make(objects, [commit(objects, "u"), commit(objects, "v")])
    kept = Ledger(objects, "d").commit_of("v")
    assert kept is not None
    objects.delete(["datasets/d/commits/u.json", f"{first.shards[0].path}/table.parquet"])
    second = make(objects, [again := commit(objects, "u"), kept])
    assert [shard.path for shard in second.shards] == [again.shard.path, kept.shard.path]
    assert second.digest == first.digest
    assert second.version != first.version
    assert open_dataset(objects, "d").samples.num_rows == len(second)


def test_damaged_names_of_a_version_are_written_anew(objects: Objects) -> None:
    commits = [commit(objects, "u"), commit(objects, "v")]
    first = make(objects, commits)
    head, manifest = "datasets/d/HEAD", f"datasets/d/versions/{first.version}.json"
    sound = {path: objects.get(path) for path in (head, manifest)}
    for path, data in sound.items():
        for damage in (b"", data[:-5], data.replace(first.version[:6].encode(), b"000000"), b"[]"):
            objects.put(path, damage)
            assert make(objects, commits).version == first.version
            assert open_dataset(objects, "d").version == first.version


def test_a_shard_that_is_gone_is_never_named(objects: Objects) -> None:
    commits = [commit(objects, "u"), commit(objects, "v")]
    gone = commits[1].shard
    objects.delete(f"{gone.path}/{name}" for name in gone.files)
    with pytest.raises(DataError) as caught:
        make(objects, commits)
    assert (caught.value.code, caught.value.about) == ("missing-shard", gone.path)
    assert not objects.exists("datasets/d/HEAD")


class Forgetful(Objects):
    """A store whose listing of shards lacks one: a network turned a bit of its name."""

    def folders(self, prefix: str) -> list[str]:
        return super().folders(prefix)[prefix.endswith("shards") :]


def test_a_shard_that_a_listing_lacks_is_asked_for_by_name(tmp_path: Path) -> None:
    objects = Forgetful(str(tmp_path))
    made = make(objects, [commit(objects, "u"), commit(objects, "v")])
    assert (len(made.shards), made.samples.num_rows) == (2, 4)


def test_other_attempts_with_equal_content_have_an_equal_digest(objects: Objects) -> None:
    first = make(objects, [commit(objects, "u"), commit(objects, "v")])
    path = first.units[0].path
    objects.delete(entry.path for entry in list(objects.walk("datasets/d")))
    second = make(objects, [commit(objects, "u"), commit(objects, "v")])
    assert second.units[0].path != path
    assert second.digest == first.digest
    assert second.version != first.version  # its readers see other shards


def test_digest_tells_content_and_order_apart(objects: Objects) -> None:
    u, v, w = commit(objects, "u"), commit(objects, "v"), commit(objects, "w", rows=3)
    digests = {make(objects, commits).digest for commits in ([u, v], [v, u], [u, w], [u])}
    assert len(digests) == 4


def test_counts_add_up_or_are_refused(objects: Objects) -> None:
    copy = Refusal.of("copy", PassedOver("a copy", code="copy", hint="none needed"))
    planned = [Refusal("scout", "localizer", "why"), copy]
    made = make(objects, [commit(objects, "u", 2, 1), commit(objects, "v", 1, 2)], planned)
    assert made.inputs == Counts(planned=8, committed=3, quarantined=4, passed_over=1)
    made.check()
    table = made.quarantine().to_pylist()
    assert sorted(row["source"] for row in table) == ["copy", "scout", "u-bad0", "v-bad0", "v-bad1"]
    assert [(row["source"], row["hint"]) for row in table if row["kind"] == "passed-over"] == [
        ("copy", "none needed")
    ]
    assert made.manifest.refused.passed_over == {"copy": 1}
    made.inputs = Counts(8, 3, 4, 0)
    with pytest.raises(DataError) as caught:
        made.check()
    assert caught.value.code == "counts-do-not-add-up"


def test_a_refused_sample_of_a_committed_input_is_no_refused_input(objects: Objects) -> None:
    ledger = Ledger(objects, "d")
    attempt = ledger.begin("u")
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
    writer.add(Sample("a", {}))
    refused = [Refusal("file", "bad", "why", sample="b")]
    made = make(objects, [Commit("u", attempt.id, writer.finish(), 1, refused)])
    assert made.inputs == Counts(planned=1, committed=1, quarantined=0)
    assert made.quarantine()["sample"].to_pylist() == ["b"]


def test_samples_are_found_in_plan_order(objects: Objects) -> None:
    made = make(objects, [commit(objects, "v", 2), commit(objects, "e", 0), commit(objects, "u")])
    assert [sample.id for sample in made] == ["v-0", "v-1", "u-0", "u-1"]
    assert made.select({"split": "val"}) == [1, 3]
    assert made.select({"split": ["train", "val"], "n": 0}) == [0, 2]
    assert made.select({}) == [0, 1, 2, 3]
    np.testing.assert_array_equal(made.array(3, "image")[:, 1:3], np.ones((1, 2, 4)))
    with pytest.raises(SpecError, match="columns: sample_id, split, n"):
        made.select({"splt": "val"})
    assert [int(lazy.sum().compute()) for lazy in made.to_dask()] == [0, 16, 0, 16]


def test_items_are_what_a_loader_of_torch_takes(objects: Objects) -> None:
    from torch.utils.data import DataLoader

    made = make(objects, [commit(objects, "v", 3), commit(objects, "u", 2)])
    items = made.to_torch("image", columns=["n"])
    batches = list(DataLoader(items, batch_size=2))
    assert [batch["sample_id"] for batch in batches] == [["v-0", "v-1"], ["v-2", "u-0"], ["u-1"]]
    assert [batch["n"].tolist() for batch in batches] == [[0, 1], [2, 0], [1]]
    expected = np.stack([made.array(index, "image")[...] for index in (2, 3)])
    np.testing.assert_array_equal(batches[1]["image"].numpy(), expected)
    list(made.to_dask()[0].compute())  # whatever threads this began, a forked child has none
    forked = DataLoader(items, batch_size=None, num_workers=2, timeout=60)
    assert [item["sample_id"] for item in forked] == made.samples["sample_id"].to_pylist()
    assert [item["sample_id"] for item in made.to_torch()[1:3]] == ["v-1", "v-2"]
    with pytest.raises(SpecError, match="no column 'nn'"):
        made.to_torch(columns=["nn"])


def test_without_a_name_it_is_the_one_array_or_all_of_them(
    make_dataset: Callable[[str, list[Sample]], Dataset],
) -> None:
    signal = np.arange(6, dtype=np.float32)
    one = make_dataset("one", [Sample("a", {}, {"signal": signal})])
    assert [lazy.sum().compute() for lazy in one.to_dask()] == [15]
    both = make_dataset("both", [Sample("a", {}, {"signal": signal, "label": np.eye(2)})])
    assert both.to_torch()[0].keys() == {"sample_id", "label", "signal"}
    with pytest.raises(SpecError, match="it has: label, signal") as caught:
        both.to_dask()
    assert caught.value.code == "which-array"


def test_versions_open_by_prefix_and_what_is_absent_is_named(objects: Objects) -> None:
    old = make(objects, [commit(objects, "u")])
    new = make(objects, [commit(objects, "u"), commit(objects, "v")])
    assert open_dataset(objects, "d").version == new.version
    assert open_dataset(objects, f"d@{old.version[:8]}").version == old.version
    for reference, code in [
        ("x", "no-such-dataset"),
        ("d@" + "0" * 32, "no-such-version"),
        ("d@ffffff0", "no-such-version"),
        (f"d@{old.version[:3]}", "no-such-version"),
        ("../d", "bad-name"),
    ]:
        with pytest.raises(SpecError) as caught:
            open_dataset(objects, reference)
        assert caught.value.code == code


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a..b", ".a", "a" * 129, "ä", "a\0"])
def test_names_stay_inside_the_root(name: str) -> None:
    with pytest.raises(SpecError):
        check_name(name)


def test_racing_heads_end_at_one_that_somebody_wrote(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: move_head(objects, "datasets/d/HEAD", Head(f"{n:032x}", "x")), range(24)
            )
        )
    assert read_head(objects, "datasets", "d") in [Head(f"{n:032x}", "x") for n in range(24)]


def test_creation_time_is_no_part_of_a_version(objects: Objects) -> None:
    import datetime

    commits = [commit(objects, "u")]
    clock = VirtualClock(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    kwargs = {
        "kind": "ingest",
        "spec": "s",
        "commits": Commits.of(commits),
        "refused": [],
        "parents": [],
    }
    first = publish(objects, "d", **kwargs, clock=clock)
    clock.sleep(86400)
    assert publish(objects, "d", **kwargs, clock=clock).manifest.created.startswith("2020-01-01")
    assert first.version == open_dataset(objects, "d").version


class Counted(Objects):
    """A root that keeps the paths of what is read."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.read: list[str] = []

    def get(self, path: str) -> bytes:
        self.read.append(path)
        return super().get(path)


def test_reading_costs_what_is_asked_for(objects: Objects) -> None:
    made = make(objects, [commit(objects, unit, refused=1) for unit in "uvw"])
    counted = Counted(objects.url)
    head, manifest = "datasets/d/HEAD", f"datasets/d/versions/{made.version}.json"
    units = f"datasets/d/units/{made.manifest.units.table}.arrow"
    assert heads(counted, "datasets")["d"].samples == 6
    assert counted.read == [head]
    counted.read.clear()
    data = open_dataset(counted, "d")
    columns = {"sample_id": "string", "split": "string", "n": "int64"}
    assert (len(data), data.manifest.columns) == (6, columns)
    assert data.manifest.refused.codes == {"bad": 3}
    assert data.columns(["_shard", "_row"]).to_pylist()[3] == {"_shard": 1, "_row": 1}
    assert data.select({}) == [0, 1, 2, 3, 4, 5]
    assert counted.read == [head, manifest, units]
    assert data[3].id == "v-1"
    shard = data.units[1].path
    assert set(counted.read[3:]) == {
        f"{shard}/table.parquet",
        f"{shard}/arrays.zarr/zarr.json",
    } | {path for path in counted.read[3:] if "/image" in path}
    assert data.columns(["n"]).equals(data.samples.select(["n"]))
    assert data.place(-1) == (2, 1)


def test_a_column_that_only_some_units_have_is_known_without_reading(objects: Objects) -> None:
    ledger, commits = Ledger(objects, "d"), []
    for unit, row in (("u", {"age": None}), ("v", {"age": 4.5, "sex": "f"}), ("w", {"age": 1})):
        attempt = ledger.begin(unit)
        writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
        writer.add(Sample(unit, row))
        commits.append(ledger.commit(attempt, Commit(unit, attempt.id, writer.finish(), 1, [])))
    made = make(objects, commits)
    assert made.manifest.columns == {"sample_id": "string", "age": "double", "sex": "string"}
    assert {one.name: str(one.type) for one in made.samples.schema}.items() >= set(
        made.manifest.columns.items()
    )
    assert made.columns(["sex"])["sex"].to_pylist() == [None, "f", None]
    attempt = ledger.begin("x")
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
    writer.add(Sample("x", {"age": "old"}))
    commits.append(ledger.commit(attempt, Commit("x", attempt.id, writer.finish(), 1, [])))
    with pytest.raises(DataError, match="age is double and int64 and null and string") as caught:
        make(objects, commits)
    assert caught.value.code == "unlike-columns"


def test_what_a_table_of_units_says_is_pinned(objects: Objects) -> None:
    """Its bytes by the head; what they say by the version, also where both were forged."""
    made = make(objects, [commit(objects, "u"), commit(objects, "v")])
    path = f"datasets/d/units/{made.manifest.units.table}.arrow"
    whole = objects.get(path)
    objects.put(path, whole[:-1] + b"x")
    with pytest.raises(DataError, match="altered"):
        open_dataset(objects, "d")[0]
    make(objects, [Ledger(objects, "d").commit_of(unit) for unit in "uv"])
    assert objects.get(path) == whole, "publishing again mends it"
    forged, units = encode(made.units.table.take([1, 0]))
    objects.put(f"datasets/d/units/{units.table}.arrow", forged)
    head = replace(made.manifest, units=replace(made.manifest.units, table=units.table))
    objects.put(f"datasets/d/versions/{made.version}.json", json.dumps(asdict(head)).encode())
    problems = verify_reference(objects, "d")[1]
    assert "the units are not those that the version was made of" in [one.what for one in problems]
