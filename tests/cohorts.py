"""Cohorts of events that tests write down, from a table to samples."""

import datetime as dt
from pathlib import Path
from typing import Any

from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.spec.load import Source
from medray.steps.base.view import Problem
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects

DAY = dt.timedelta(days=1)
MAPPING: dict[str, Any] = {
    "tables": {
        "events": {
            "subject": "who",
            "events": [
                {"code": "{code}", "time": "time", "available": "known", "number": "value",
                 "where": {"kind": "e"}},
                {"code": "{code}", "time": "static", "where": {"kind": "s"}},
            ],
        }
    }
}  # fmt: skip
COHORT: dict[str, Any] = {
    "name": "cohort",
    "at": {"event": ["IN//*"], "plus": "24h"},
    "exclude": {"since": ["OUT", "DEATH"]},
    "label": {"event": ["DEATH"], "until": ["OUT"]},
    "features": {"windows": ["12h", "all"], "codes": 50, "min_subjects": 1,
                 "make": ["count", "last", "since"]},
}  # fmt: skip
Row = tuple[str, str, dt.datetime | None, dt.datetime | None, float | None]


def at(days: float) -> dt.datetime:
    return dt.datetime(2020, 1, 1) + days * DAY  # noqa: DTZ001 - of a place, without offset


def write(root: Path, rows: list[Row]) -> None:
    lines = ["who,code,time,known,value,kind"]
    for who, code, time, known, value in rows:
        kind = "s" if time is None else "e"
        cells = [who, code, time or "", known or "", "" if value is None else value, kind]
        lines.append(",".join(map(str, cells)))
    (root / "events.csv").write_text("\n".join(lines))


def cohort(objects: Objects, root: Path, rows: list[Row], **changed: Any) -> Dataset:
    root.mkdir(exist_ok=True)
    write(root, rows)
    form = {"name": "ehr", "mapping": MAPPING, "deidentify": {"method": "none"}}
    operation = {name: one for name, one in {**COHORT, **changed}.items() if one is not None}
    run(
        [
            {"kind": "ingest", "format": form, "source": str(root), "output": "parts"},
            {"kind": "gather", "data": "parts", "output": "people", "shards": 2},
            {"kind": "transform", "data": "people", "operation": operation, "output": "cohort"},
        ],
        storage=objects,
        cluster="inline",
    )
    return open_dataset(objects, "cohort")


def problems(steps: list[dict[str, Any]], objects: Objects) -> list[Problem]:
    return check_documents(Source("job", steps), objects, cluster="inline")[1]


HER: list[Row] = [
    ("a", "IN//a", at(0), None, None),
    ("a", "LAB//x", at(0.5), None, 1.0),
    ("a", "OUT", at(5), None, None),
    ("a", "LAB//y", at(6), None, 3.0),
]
