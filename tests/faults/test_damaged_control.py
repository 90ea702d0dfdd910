"""Whatever stands in place of a control object, commands end in a line with a code, about it; what
else there is is still listed. Strange files and folders below the root are passed over."""

import json
import random
import shutil
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from command import write_job
from safetensors.numpy import save

from medray.cli import main
from medray.clock import SYSTEM
from medray.jobs.remote import queue
from medray.jobs.remote.submissions import claim, new_submission
from medray.jobs.run import run
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claims, End, Lease, claim_for
from medray.jobs.storage_by_name import open_storage
from medray.spec.profiles import RayCluster
from medray.steps.base.successors import give_way
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model

KINDS = [
    "datasets/x/HEAD",
    "datasets/x/versions/*.json",
    "datasets/x/units/*.arrow",
    "datasets/x/commits/*.json",
    "datasets/x/attempts/*/0001.json",
    "datasets/x/attempts/*/0001.at.json",
    "datasets/x/attempts/*/0002.end.json",
    "datasets/x/successors/*.json",
    "datasets/x/plans/*.json",
    "datasets/x/quarantine/*.parquet",
    "models/net/HEAD",
    "models/net/versions/*.json",
    "runs/job-*/job.json",
    "runs/job-*/drivers/*.json",
    "runs/job-*/events/*.jsonl",
    "runs/job-*/submissions/0001.json",
    "runs/job-*/cancel",
    "runs/ingest-*/spec.json",
    "runs/ingest-*/job.json",
    "runs/ingest-*/plan.parquet",
    "runs/ingest-*/result.json",
    "schedules/nightly.json",
    "schedules/nightly/due/*Z.json",
    "schedules/nightly/due/*Z.lease.json",
    "schedules/nightly/due/*Z.end.json",
    "queues/far.json",
    "audit/HEAD",
    "audit/000000001.json",
    "reports/*/metrics.parquet",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A root with one object of each kind, the job that made it, and the id of the job's run."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("control")
    (folder / "raw").mkdir()
    for number in range(4):
        Image.new("L", (4, 4), number).save(folder / "raw" / f"{number}.png")
    (folder / "raw" / "bad.png").write_bytes(b"no picture")
    step = {
        "kind": "ingest",
        "format": {"name": "image"},
        "source": str(folder / "raw"),
        "output": "x",
        "units": {"samples": 2},
        "policy": {"error_budget": 0.5},
    }
    job = write_job(folder / "job.yaml", step)
    root = folder / "root"
    objects = open_storage(str(root))
    made = run([step], storage=objects, cluster="inline")
    run([{**step, "output": "sound"}], storage=objects, cluster="inline")
    ledger = Ledger(objects, "x")
    code = next(iter(made.steps[0].reasons))
    give_way(objects, "x", [code])
    attempt = ledger.begin("f" * 32)
    ledger.mark(attempt, "some input")
    ledger.end(ledger.begin("f" * 32), "superseded")
    for name in ("net", "other"):
        save_model(
            objects,
            name,
            weights=save({}),
            config={"task": {}, "model": {"name": "unet"}},
            metrics={},
            parents=[],
            spec="",
            card="",
        )
    profile = RayCluster(kind="ray", pools={}, default_pool={"workers": 1})
    sent = new_submission(objects, made.id, 1, "far", profile, 0)
    claim(objects, sent)
    waiting = queue.Turn(
        objects,
        "far",
        queue.Entry(sent.id, made.id, 0, sent.at),
        1,
        Never(),
        f"runs/{made.id}/none",
    )
    assert waiting.step()
    for name in ("nightly", "another"):
        due = schedules.add(objects, name, job, cron="0 3 * * *", cluster="inline")
        claims = Claims(objects, name, SYSTEM)
        for day in (1, 2):
            one = claim_for(due, datetime(2026, 1, day, tzinfo=UTC), "s")
            claims.put(one)
            lease = Lease("", began=sent.at, seen=sent.at)
            claims.hold(one.due, lease, None)
            if day == 1:
                claims.end(one.due, End("done", sent.at, began=sent.at, job=made.id))
    objects.put(f"runs/{made.id}/cancel", b"{}")
    from medray.report.collect import write_report

    write_report(objects, "x", [step.as_json() for step in made.steps], run=made.id)
    return root, job, made.id


class Never:
    """An event that is never set."""

    def is_set(self) -> bool:
        return False


def grown(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def odd(data: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Garbage of five sorts."""
    yield "empty", b""
    yield "random", chance.randbytes(chance.choice([1, 40, 4000]))
    shapes = [[], None, 7, {}, "text", True, {"version": None}, {"a": [{}]}, 1e300]
    shape = chance.choice(["NaN", "[NaN]", "1" + "0" * 5000, *map(json.dumps, shapes)])
    yield "shape", shape.encode()
    yield "cut", data[: chance.randrange(len(data))] if data else b"{"
    try:
        document = json.loads(data)
    except ValueError:
        changed = bytearray(data or b"x")
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        yield "flipped", bytes(changed)
        return
    if isinstance(document, dict) and document:
        for name in document:
            other = chance.choice(
                [None, [], {}, "text", -1, 1e300, 10**40, {"a": 1}, [1], grown(1, 500), True, "NaN"]
            )
            text = json.dumps({**document, name: other})
            yield f"field {name}", text.replace('"NaN"', "NaN").encode()
        yield "deep", b'{"a":' * 20_000


def commands(job: str, run_id: str) -> list[tuple[str, ...]]:
    inline = ("--cluster", "inline", "--no-report")
    return [
        ("ls",),
        ("show", "x"),
        ("show", "net"),
        ("quarantine", "x"),
        ("verify",),
        ("verify", "x"),
        ("runs",),
        ("status", run_id),
        ("logs", run_id),
        ("gc",),
        ("retry", "x", "--code", "bad-image"),
        ("schedule", "ls"),
        ("schedule", "show", "nightly"),
        ("schedule", "page", "nightly"),
        ("schedule", "pause", "nightly"),
        ("schedule", "resume", "nightly"),
        ("cancel", run_id),
        ("gc", "--older-than", "0h", "--delete"),
        ("schedule", "rm", "nightly"),
        ("run", job, *inline),
        ("resume", run_id, *inline),
    ]


def said(root: Path, command: tuple[str, ...]) -> Any:
    result = CliRunner().invoke(main, [*command, "--storage", str(root)])
    assert "a bug" not in result.stderr, (command, result.stderr)
    assert "Traceback" not in result.output, (command, result.output)
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        command,
        repr(result.exception),
    )
    if result.exit_code:
        assert result.exit_code in (2, 3, 4, 5) or "fail" in result.stderr, (command, result.stderr)
        assert "[" in result.stderr, (command, result.stderr)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_is_named_and_hides_nothing(
    kind: str, place: tuple[Path, str, str], tmp_path: Path
) -> None:
    whole, job, run_id = place
    chance = random.Random(zlib.crc32(kind.encode()))
    found = [path for path in sorted(whole.glob(kind)) if path.is_file()]
    if kind.startswith(("runs/job-", "runs/ingest-")) and len(found) > 1:
        found = [path for path in found if run_id in str(path) or "ingest-" in str(path)]
    assert found, f"nothing of kind {kind}"
    where = found[0].relative_to(whole)
    for sort, garbage in odd(found[0].read_bytes(), chance):
        root = tmp_path / "root"
        shutil.copytree(whole, root)
        (root / where).write_bytes(garbage)
        *quick, first, second = commands(job, run_id)
        for command in (*quick, chance.choice([first, second])):  # a run takes seconds
            try:
                result = said(root, command)
            except AssertionError as error:
                raise AssertionError(f"{where} {sort} {garbage[:60]!r}: {error}") from error
            if command == ("ls",):
                assert "sound" in result.output
                assert "other" in result.output
            if command == ("runs",):
                assert result.output.count("job-") >= 1
            if command == ("schedule", "ls"):
                assert "another" in result.output
        shutil.rmtree(root)


STRAY = [
    "README",
    ".DS_Store",
    "lost+found/x",
    "datasets/README",
    "datasets/.DS_Store",
    "datasets/lost+found/x",
    "datasets/Bad Name/HEAD",
    "datasets/x/README",
    "datasets/x/commits/README",
    "datasets/x/commits/.DS_Store",
    "datasets/x/commits/README.json",
    "datasets/x/commits/deeper/one.json",
    "datasets/x/attempts/README",
    "datasets/x/attempts/.DS_Store/x",
    "datasets/x/attempts/" + "f" * 32 + "/README.json",
    "datasets/x/versions/README.md",
    "datasets/x/versions/notes.json",
    "datasets/x/units/notes",
    "datasets/x/shards/README",
    "datasets/x/shards/lost+found/x",
    "datasets/x/successors/README",
    "datasets/x/plans/README",
    "datasets/x/quarantine/README",
    "models/README",
    "models/lost+found/x",
    "models/net/README",
    "models/net/versions/x",
    "runs/README",
    "runs/lost+found/x",
    "runs/job-notes/x",
    "runs/job-000000000000/x",
    "schedules/README",
    "schedules/Notes.json",
    "schedules/lost+found/x",
    "schedules/nightly/README",
    "schedules/nightly/due/README",
    "schedules/nightly/due/notes.json",
    "queues/README",
    "audit/README",
    "audit/12.json",
    "audit/lost+found/x",
    "reports/README",
]


def test_strange_files_are_passed_over(place: tuple[Path, str, str], tmp_path: Path) -> None:
    whole, job, run_id = place
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    before = {command: said(root, command) for command in commands(job, run_id)[:13]}
    for path in STRAY:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"\x00garbage")
    for command, sound in before.items():
        after = said(root, command)
        if command == ("runs",):
            assert after.exit_code in (0, 3)  # one is a run's folder by its name, and holds no run
        else:
            assert after.exit_code == sound.exit_code, (command, after.stderr)
            assert after.stdout == sound.stdout, command
    for command in commands(job, run_id)[13:]:
        said(root, command)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith("cancel")])
def test_a_folder_in_place_of_a_file(
    kind: str, place: tuple[Path, str, str], tmp_path: Path
) -> None:
    whole, job, run_id = place
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    path = next(path for path in sorted(root.glob(kind)) if path.is_file())
    path.unlink()
    (path / "x").mkdir(parents=True)
    (path / "x" / "y").write_text("z")
    for command in commands(job, run_id):
        said(root, command)


@pytest.mark.parametrize(
    "folder",
    ["datasets", "datasets/x", "datasets/x/commits", "models", "runs", "schedules", "audit"],
)
def test_a_file_in_place_of_a_folder(
    folder: str, place: tuple[Path, str, str], tmp_path: Path
) -> None:
    whole, job, run_id = place
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    shutil.rmtree(root / folder)
    (root / folder).write_text("no folder")
    for command in commands(job, run_id):
        said(root, command)
