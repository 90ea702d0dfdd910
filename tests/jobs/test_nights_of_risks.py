"""Risks every night: who was added to is scored, late data are scored again, equal nights are equal
bytes; and a night that is killed goes on."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nights import DAY, Wall, pass_time, states

from medray.jobs.run import Run, run, run_documents
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claim
from medray.jobs.schedule.scheduler import Scheduler
from medray.jobs.schedule.start import Outcome
from medray.spec.load import Source
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

MAPPING = {
    "tables": {
        "events": {
            "subject": "who",
            "events": [{"code": "{code}", "time": "time", "available": "known", "number": "value"}],
        }
    }
}
FORM = {"name": "ehr", "mapping": MAPPING, "deidentify": {"method": "none"}}
COHORT: dict[str, Any] = {
    "name": "cohort",
    "at": {"event": ["IN"], "plus": "24h"},
    "features": {"min_subjects": 1, "make": ["count", "last"]},
}
LABEL = {"event": ["DEATH"], "until": ["OUT"]}


@dataclass
class Here:
    """Runs what is claimed at once, in this process."""

    objects: Objects
    runs: list[Run] = field(default_factory=list)
    nodes: int = 1

    def __call__(self, claim: Claim) -> "Here":
        source = Source(claim.file, claim.documents)
        made = run_documents(
            source, self.objects, cluster="inline", on_event=None, stop=threading.Event()
        )
        self.runs.append(made)
        return self

    def poll(self) -> Outcome:
        return Outcome(0)

    def stop(self) -> None:
        raise AssertionError("nothing is under way")

    leave = stop


def write(path: Path, people: range, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lines = ["who,code,time,known,value"]
    for person in people:
        rows = [("IN", 0, ""), *(("LAB", h, f"{rng.uniform(0, 9):.2f}") for h in (2, 9, 30))]
        rows += [("DEATH", 40, "")] * (person % 3 == 0) + [("OUT", 41, "")]
        for code, hour, value in rows:
            day, rest = divmod(hour, 24)
            lines.append(f"p{person},{code},2020-01-{day + 1:02d} {rest:02d}:00,,{value}")
    path.write_text("\n".join(lines))


def trained(objects: Objects, root: Path) -> str:
    train = {"epochs": 2, "batch_size": 8, "threads": 1, "checkpoint_every": 1000, "augment": None}
    task = {"name": "classification", "classes": ["left", "died"]}
    run(
        [
            {"kind": "ingest", "format": FORM, "source": str(root), "output": "old-parts",
             "split": {"train": 0.7, "val": 0.3}},
            {"kind": "gather", "data": "old-parts", "output": "old"},
            {"kind": "transform", "data": "old", "operation": {**COHORT, "label": LABEL},
             "output": "learnt"},
            {"kind": "train", "data": "learnt", "task": task, "model": {"name": "mlp"},
             "output": "net", "train": train},
        ],
        storage=objects,
        cluster="inline",
    )  # fmt: skip
    return open_model(objects, "net").reference


def nightly(model: str, source: Path, out: Path) -> list[dict[str, Any]]:
    return [
        {"kind": "ingest", "format": FORM, "source": str(source), "output": "parts"},
        {"kind": "gather", "data": "parts", "output": "people", "shards": 4},
        {"kind": "transform", "data": "people", "operation": COHORT, "using": {"like": "learnt"},
         "output": "asked"},
        {"kind": "predict", "model": model, "data": "asked", "batch": 8, "output": "risks"},
        {"kind": "export", "data": "risks", "format": {"name": "fhir", "outcome": "death"},
         "to": str(out)},
    ]  # fmt: skip


def test_only_what_changed_is_scored(objects: Objects, tmp_path: Path, clock: Wall) -> None:
    old, source, out = tmp_path / "old", tmp_path / "now", tmp_path / "out"
    for folder in (old, source):
        folder.mkdir()
    write(old / "events.csv", range(100, 160), 1)
    write(source / "events_1.csv", range(24), 2)
    model = trained(objects, old)
    here = Here(objects)
    schedules.add(objects, "n", nightly(model, source, out), clock=clock, cron="0 22 * * *")
    scheduler = Scheduler(objects, here, clock=clock)
    file = out / "risks.ndjson"

    pass_time(clock, DAY, scheduler, step=3600)
    first = file.read_bytes()
    assert len(first.splitlines()) == 24
    assert open_dataset(objects, "risks").attributes["model"] == model

    pass_time(clock, DAY, scheduler, step=3600)
    assert [one.units.committed for one in here.runs[1].steps] == [0] * 5
    assert file.read_bytes() == first

    # A result of one patient comes late: it was known in time, so her features change.
    late = "who,code,time,known,value\np7,LAB,2020-01-01 20:00,2020-01-01 21:00,8.5\n"
    (source / "events_2.csv").write_text(late)
    # And one that was known too late to be seen: its shard is made again, and is the same.
    (source / "events_3.csv").write_text(late.replace("p7", "p8").replace("01-01 21", "01-03 21"))
    pass_time(clock, DAY, scheduler, step=3600)
    asked, risks = (here.runs[2].steps[at].units for at in (2, 3))
    assert 1 <= asked.committed <= 2
    people = open_dataset(objects, "people")
    hers = next(shard for shard in people.shards if "p7" in shard.table["subject"].to_pylist())
    assert (risks.committed, risks.skipped) == (hers.table.num_rows, 24 - hers.table.num_rows)
    before, after = (dict(zip(*lines(text), strict=True)) for text in (first, file.read_bytes()))
    assert {name for name in before if before[name] != after[name]} == {"Patient/p7"}
    assert list(states(objects, clock).values()) == ["done"] * 3
    assert verify_all(objects)[1] == []


def lines(text: bytes) -> tuple[list[str], list[str]]:
    """Who, and the line."""
    each = text.decode().splitlines()
    return [json.loads(line)["subject"]["reference"] for line in each], each
