"""The ledger: one commit a unit, deaths counted where they belong, damage named."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError
from medray.storage.catalog.attempts import Attempt
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.pack import read_pack
from medray.storage.shards.records import Refusal, ShardRecord
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import DECLARED


def finish(ledger: Ledger, objects: Objects, attempt: Attempt, **row: Any) -> Commit:
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
    writer.add(Sample("s", row))
    refused = [Refusal("k", "bad", "why")]
    return Commit(attempt.unit, attempt.id, writer.finish(), 2, refused, {"read": 0.5})


@pytest.fixture
def ledger(objects: Objects) -> Ledger:
    return Ledger(objects, "d", session="one", max_attempts=2)


def die(ledger: Ledger, unit: str = "u", at: str = "") -> Attempt:
    attempt = ledger.begin(unit)
    if at:
        ledger.mark(attempt, at)
    return attempt


def test_commit_reads_back_equal(ledger: Ledger, objects: Objects) -> None:
    attempt = ledger.begin("u")
    commit = finish(ledger, objects, attempt)
    assert ledger.commit(attempt, commit) == commit
    assert ledger.commit_of("u") == commit
    found = ledger.committed(["u", "v"])
    assert found.units == ["u"]
    assert found.pinned() == [commit.shard.pinned]
    assert found.refusals == commit.refused
    assert ledger.commit_of("v") is None


def test_of_many_racing_attempts_one_stands_and_the_rest_is_gone(
    ledger: Ledger, objects: Objects
) -> None:
    attempts = [ledger.begin("u") for _ in range(8)]
    commits = [finish(ledger, objects, attempt) for attempt in attempts]
    with ThreadPoolExecutor(8) as pool:
        stands = {c.attempt for c in pool.map(ledger.commit, attempts, commits)}
    assert len(stands) == 1
    assert objects.folders("datasets/d/shards") == [f"u-{stands.pop()}"]
    assert ledger.history("u").unexplained == 1, "the losers ended alive"


def test_lost_reply_of_our_own_commit_is_no_defeat(
    ledger: Ledger, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = ledger.begin("u")
    commit = finish(ledger, objects, attempt)
    real = objects.put_new
    monkeypatch.setattr(objects, "put_new", lambda path, data: real(path, data) and False)
    assert ledger.commit(attempt, commit).attempt == attempt.id
    assert objects.folders("datasets/d/shards") == [f"u-{attempt.id}"]


def test_lost_reply_of_begin_leaves_no_ghost(
    ledger: Ledger, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = objects.put_new
    monkeypatch.setattr(objects, "put_new", lambda path, data: real(path, data) and False)
    assert ledger.begin("u").number == 1
    assert ledger.history("u").last == 1


def test_racing_begins_get_numbers_of_their_own(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(ledger.begin, ["u"] * 16))
    assert sorted(attempt.number for attempt in attempts) == list(range(1, 17))
    assert len({attempt.id for attempt in attempts}) == 16


def test_a_stale_history_does_not_overwrite_an_attempt(ledger: Ledger) -> None:
    history = ledger.history("u")
    first = ledger.begin("u", history)
    second = ledger.begin("u", history)
    assert (first.number, second.number) == (1, 2)


def test_deaths_make_careful_then_condemn_the_input_that_was_touched(ledger: Ledger) -> None:
    die(ledger)
    assert not ledger.begin("u").careful
    for _ in range(2):
        attempt = die(ledger, at="bad")
        assert (attempt.careful, attempt.condemned) == (True, frozenset())
    assert ledger.begin("u").condemned == {"bad"}


def test_attempts_that_end_alive_are_no_deaths(ledger: Ledger) -> None:
    for _ in range(5):
        ledger.end(ledger.begin("u"), "failed")
    history = ledger.history("u")
    assert (history.last, history.careful, history.unexplained) == (5, False, 0)


def test_a_death_past_all_inputs_is_nobodys(ledger: Ledger) -> None:
    for _ in range(4):
        attempt = die(ledger, at="a")
        ledger.mark(attempt, "")
    history = ledger.history("u")
    assert (history.unexplained, history.condemned) == (4, frozenset())


def test_deaths_of_another_session_do_not_count(objects: Objects, ledger: Ledger) -> None:
    for _ in range(9):
        die(ledger, at="a")
    assert not Ledger(objects, "d", session="two", max_attempts=2).begin("u").careful
    assert Ledger(objects, "d", session="", max_attempts=2).begin("u").condemned == {"a"}


def test_numbers_beyond_four_digits_still_order(objects: Objects, ledger: Ledger) -> None:
    objects.put(
        "datasets/d/attempts/u/10000.json", json.dumps({"attempt": "a", "session": "x"}).encode()
    )
    objects.put(
        "datasets/d/attempts/u/9999.json", json.dumps({"attempt": "a", "session": "x"}).encode()
    )
    assert ledger.begin("u").number == 10001


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"unit": "u"}', b"\xff\xfe"])
def test_damaged_records_are_named(damage: bytes, objects: Objects, ledger: Ledger) -> None:
    attempt = ledger.begin("u")
    ledger.commit(attempt, finish(ledger, objects, attempt))
    root = Path(objects.url.removeprefix("file://")) / "datasets/d"
    (root / "commits/u.json").write_bytes(damage)
    with pytest.raises(DataError, match=r"commits/u\.json") as caught:
        ledger.commit_of("u")
    assert caught.value.code == "damaged-record"
    with pytest.raises(DataError):
        ledger.committed(["u"])


def test_a_pack_stands_for_the_records_it_was_made_of(objects: Objects) -> None:
    ledger = Ledger(objects, "d")
    for number in range(100):
        attempt = ledger.begin(f"u{number}")
        record = ShardRecord(f"datasets/d/shards/{number}", number, 1, "", "", "", {"f": (1, "")})
        refused = [Refusal("in", "bad", "why")] * (number % 2)
        ledger.commit(attempt, Commit(f"u{number}", attempt.id, record, 1, refused))
    units = [f"u{number}" for number in range(101)]
    packed = "datasets/d/packed.arrow"
    first = ledger.committed(units)
    assert first.units == units[:100]
    assert first.column("rows") == list(range(100))
    assert first.refused == {f"u{n}": [Refusal("in", "bad", "why")] for n in range(1, 100, 2)}
    ledger.pack()
    read: list[str] = []
    get = objects.get
    objects.get = lambda path: (read.append(path), get(path))[1]  # type: ignore[method-assign]
    assert told(Ledger(objects, "d").committed(units)) == told(first)
    assert read == [packed]
    assert Ledger(objects, "d").committed(reversed(units)).units == first.units[::-1]
    with pytest.raises(KeyError, match="u100"):
        first.of_units(units)  # a version lacks nothing in silence
    # One that is made again after its record was lost is not that of the pack.
    other = ledger.commit_of("u7")
    assert other is not None
    objects.delete(["datasets/d/commits/u7.json", "datasets/d/commits/u8.json"])
    objects.put_new("datasets/d/commits/u7.json", replace(other, inputs=5, refused=[]).encode())
    read.clear()
    changed = Ledger(objects, "d").committed(units)
    assert changed.units == [f"u{n}" for n in range(100) if n != 8]
    assert (changed.column("inputs")[7], "u7" in changed.refused) == (5, False)
    assert read == [packed, "datasets/d/commits/u7.json"]
    whole = get(packed)
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damage in (b"", b"ARROW1 or not", whole[:-40], flipped):
        objects.put(packed, damage)
        assert told(Ledger(objects, "d").committed(units)) == told(changed)


def test_a_pack_grows_and_has_the_last_of_each_unit(objects: Objects) -> None:
    def work(numbers: range, inputs: int) -> None:
        for number in numbers:
            attempt = ledger.begin(f"u{number}")
            record = ShardRecord(f"datasets/d/shards/{number}", 1, 1, "", "", "", {"f": (1, "")})
            refused = [Refusal("in", "bad", "why")] * (inputs % 2)
            ledger.commit(attempt, Commit(f"u{number}", attempt.id, record, inputs, refused))

    ledger, units = Ledger(objects, "d"), [f"u{number}" for number in range(200)]
    work(range(100), 1)
    ledger.committed(units)
    ledger.pack()
    objects.delete([f"datasets/d/commits/{unit}.json" for unit in units[:70]])
    work(range(70), 2)
    work(range(100, 200), 3)
    whole = ledger.committed(units)
    assert whole.column("inputs") == [2] * 70 + [1] * 30 + [3] * 100
    assert list(whole.refused) == units[70:]
    ledger.pack()
    pack = read_pack(objects, "d")
    assert sorted(pack.commits.units) == sorted(units)
    assert told(pack.commits.of_units(units)) == told(whole)


def told(commits: Commits) -> tuple[list[dict[str, Any]], Any]:
    """All that commits say."""
    return commits.table.to_pylist(), list(commits.refused.items())
