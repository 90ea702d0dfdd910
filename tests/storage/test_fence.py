"""Of "an attempt commits" and "gc takes what it wrote" exactly one happens, whoever sleeps."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from medray.errors import RetryableError
from medray.storage.catalog import garbage
from medray.storage.catalog.attempts import Attempt
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import open_model, save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.fence import FENCE_BYTES, fence_of, new_fence, settle, take
from medray.storage.store.objects import Objects
from tests.declared import DECLARED

UNITS = ("u", "v")
ANY_AGE_S = -7200.0  # everything is garbage, also for a clock that is two hours behind


class Sleeper(Objects):
    """A root whose user falls asleep before one request; somebody else does something meanwhile."""

    def sleep(self, at: int, meanwhile: Callable[[Objects], object]) -> "Sleeper":
        self._asked, self._at, self._meanwhile = 0, at, meanwhile
        return self

    def _try(self, path: str, action: Callable[[], Any]) -> Any:
        number, self._asked = self._asked, self._asked + 1
        if number == self._at:
            self._meanwhile(Objects(self.url))
        return super()._try(path, action)

    @property
    def slept(self) -> bool:
        return self._asked > self._at


def gc(objects: Objects) -> list[garbage.Garbage]:
    return garbage.collect(objects, age_s=ANY_AGE_S, delete=True)


def work(objects: Objects) -> int:
    """Do two units, and publish; how often an attempt was taken."""
    ledger, commits, taken = Ledger(objects, "d"), [], 0
    for unit in UNITS:
        while True:
            attempt = ledger.begin(unit)
            writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
            try:
                writer.add(Sample(unit, {"n": 1}, {"image": np.full((1, 4, 4), 7, np.uint8)}))
                commit = Commit(unit, attempt.id, writer.finish(), 1, [])
                commits.append(ledger.commit(attempt, commit))
                break
            except RetryableError as error:
                assert error.code == "taken"  # noqa: PT017
                taken += 1
    publish(
        objects, "d", kind="ingest", spec="", commits=Commits.of(commits), refused=[], parents=[]
    )
    return taken


def end(attempt: Attempt, commit: Commit, objects: Objects) -> None:
    """Commit what an attempt has written, and publish; or do it again, where gc took it."""
    try:
        commits = [Ledger(objects, "d").commit(attempt, commit)]
    except RetryableError:
        work(objects)
    else:
        publish(
            objects,
            "d",
            kind="ingest",
            spec="",
            commits=Commits.of(commits),
            refused=[],
            parents=[],
        )


def train(objects: Objects) -> None:
    weights = save({"w": np.arange(3, dtype=np.float32)})
    given: dict[str, Any] = {"config": {"a": 1}, "metrics": {}, "parents": [], "spec": ""}
    save_model(objects, "m", weights=weights, card="# m", **given)


def sound(objects: Objects) -> None:
    assert verify_all(objects)[1] == []


def test_gc_runs_before_any_request_of_a_writer(objects: Objects) -> None:
    at = taken = 0
    while True:
        sleeper = Sleeper(f"{objects.url}-{at}").sleep(at, gc)
        taken += work(sleeper)
        sound(Objects(sleeper.url))
        assert open_dataset(Objects(sleeper.url), "d").sample(1).arrays["image"].sum() == 7 * 16
        if not sleeper.slept:
            break
        at += 1
    assert at > 25
    assert taken > 5, "gc met attempts that were under way"


def test_a_writer_runs_before_any_request_of_gc(objects: Objects) -> None:
    """Half of a unit is written; then gc begins, and sleeps while the writer ends."""
    at = 0
    while True:
        root = Objects(f"{objects.url}-{at}")
        ledger = Ledger(root, "d")
        attempt = ledger.begin("u")
        writer = ShardWriter(root, ledger.shard_path(attempt), DECLARED)
        writer.add(Sample("u", {"n": 1}))
        commit = Commit("u", attempt.id, writer.finish(), 1, [])

        sleeper = Sleeper(root.url).sleep(at, partial(end, attempt, commit))
        gc(sleeper)
        if not sleeper.slept:
            break
        sound(root)
        assert open_dataset(root, "d").sample(0).row["n"] == 1
        at += 1
    assert at > 10


def test_gc_runs_before_any_request_of_a_training_that_saves(objects: Objects) -> None:
    at = 0
    while True:
        sleeper = Sleeper(f"{objects.url}-{at}").sleep(at, gc)
        train(sleeper)
        sound(Objects(sleeper.url))
        assert open_model(Objects(sleeper.url), "m").weights()["w"].tolist() == [0, 1, 2]
        if not sleeper.slept:
            break
        at += 1
    assert at > 5


def test_a_training_saves_before_any_request_of_gc(objects: Objects) -> None:
    at = 0
    while True:
        root = Objects(f"{objects.url}-{at}")
        root.put(f"models/m/{'0' * 32}-aa/model.safetensors", b"half")
        sleeper = Sleeper(root.url).sleep(at, train)
        gc(sleeper)
        if not sleeper.slept:
            break
        sound(root)
        assert open_model(root, "m").is_whole
        at += 1
    assert at > 5


def test_exactly_one_happens_in_every_store(any_objects: Objects) -> None:
    path, record = "datasets/d/commits/u.json", b"r" * 99
    assert take(any_objects, path)
    first = fence_of(any_objects.get(path))
    assert first is not None
    assert not settle(any_objects, path, "", record), "begun before the fence"
    assert take(any_objects, path)
    assert not settle(any_objects, path, first, record), "begun before the second"
    second = fence_of(any_objects.get(path))
    assert second is not None
    assert settle(any_objects, path, second, record)
    assert not take(any_objects, path)
    assert any_objects.get(path) == record
    assert not settle(any_objects, path, second, b"s" * 99)


def test_a_fence_is_no_commit_to_anybody(objects: Objects) -> None:
    ledger = Ledger(objects, "d")
    ledger.take("u")
    assert ledger.commit_of("u") is None
    assert len(ledger.committed(["u"])) == 0
    assert ledger.done() == set()
    assert len(new_fence()) == FENCE_BYTES
    commit = finished(objects, ledger, "u")
    assert ledger.commit(*commit) == commit[1]
    assert ledger.done() == {"u"}


def test_a_dropped_unit_bars_attempts_that_sleep(objects: Objects) -> None:
    ledger = Ledger(objects, "d")
    sleeping, winning = finished(objects, ledger, "u"), finished(objects, ledger, "u")
    ledger.commit(*winning)
    gc(objects)  # takes what the loser wrote, and the records that it was begun
    ledger.drop(["u"])
    with pytest.raises(RetryableError, match="taken"):
        ledger.commit(*sleeping)
    alone = finished(objects, ledger, "v")
    ledger.commit(*alone)
    ledger.drop(["v"])
    assert not objects.exists("datasets/d/commits/v.json"), "nobody else ever began it"
    assert objects.folders("datasets/d/shards") == []


def finished(objects: Objects, ledger: Ledger, unit: str) -> tuple[Attempt, Commit]:
    attempt = ledger.begin(unit)
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
    writer.add(Sample("s", {"n": 1}))
    return attempt, Commit(unit, attempt.id, writer.finish(), 1, [])
