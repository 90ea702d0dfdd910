"""What `medray quarantine` prints for people: a record's beats once, all others one by one."""

import json

import pytest
from click.testing import CliRunner

from medray.cli import main
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects


def test_parts_of_a_sample_are_told_once(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [Refusal(f"100:{number}", "model-mismatch", "another rate") for number in range(40)]
    refused += [Refusal("100:40", "no-signals", "nothing"), Refusal("101:7", "bad-gain", "a gain")]
    refused += [Refusal(name, "model-mismatch", "another rate") for name in ("102", "103")]
    ledger = Ledger(objects, "answers")
    attempt = ledger.begin("u0")
    writer = ShardWriter(objects, ledger.shard_path(attempt))
    writer.add(Sample("99:0", {}))
    done = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), 45, refused))
    publish(
        objects, "answers", kind="test", spec="", commits=Commits.of([done]), refused=[], parents=[]
    )
    monkeypatch.setenv("MEDRAY_STORAGE", objects.url)
    _, _, _, *lines = CliRunner().invoke(main, ["quarantine", "answers"]).stdout.splitlines()
    told = [tuple(line.split()[1:4]) for line in lines if line.strip()]
    assert told == [
        ("100", "40", "model-mismatch"),
        ("100:40", "no-signals", "nothing"),
        ("101:7", "bad-gain", "a"),
        ("102", "model-mismatch", "another"),
        ("103", "model-mismatch", "another"),
    ]
    rows = CliRunner().invoke(main, ["quarantine", "answers", "--json"]).stdout
    assert len(json.loads(rows)["quarantine"]) == 44
