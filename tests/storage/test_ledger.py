"""The ledger: one commit a unit, deaths counted where they belong, damage named."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError
from medray.storage.attempts import Attempt
from medray.storage.ledger import Commit, Ledger
from medray.storage.objects import Objects
from medray.storage.records import Refusal, ShardRecord
from medray.storage.samples import Sample
from medray.storage.shard_writer import ShardWriter


def finish(ledger: Ledger, objects: Objects, attempt: Attempt, **row: Any) -> Commit:
    writer = ShardWriter(objects, ledger.shard_path(attempt))
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
    assert ledger.committed(["u", "v"]) == {"u": commit}
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
    first = ledger.committed(units, brief=True)
    assert len(first) == 100
    ledger.pack()
    assert Ledger(objects, "d").committed(units, brief=True) == first
    read: list[str] = []
    get = objects.get
    objects.get = lambda path: (read.append(path), get(path))[1]  # type: ignore[method-assign]
    again = Ledger(objects, "d").committed(units, brief=True)
    assert read == ["datasets/d/packed.parquet"]
    assert again == first
    assert [one.record for one in again.values()] == [one.record for one in first.values()]
    # One that is made again after its record was lost is not that of the pack.
    objects.delete(["datasets/d/commits/u7.json", "datasets/d/commits/u8.json"])
    other = replace(first["u7"], inputs=5)
    objects.put_new("datasets/d/commits/u7.json", other.encode())
    read.clear()
    changed = Ledger(objects, "d").committed(units, brief=True)
    assert changed["u7"].inputs == 5
    assert "u8" not in changed
    assert read == ["datasets/d/packed.parquet", "datasets/d/commits/u7.json"]
    for damage in (b"", b"PAR1 or not", get("datasets/d/packed.parquet")[:-40]):
        objects.put("datasets/d/packed.parquet", damage)
        assert Ledger(objects, "d").committed(units, brief=True) == changed
