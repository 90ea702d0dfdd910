"""The morning page: what a scheduled run did in the night, whether its data are like those of the
reference run, and what it cost.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from markupsafe import Markup

from medray.clock import SYSTEM, Clock
from medray.errors import SpecError
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claims, End, Record, parse_due
from medray.report import curves
from medray.report.content import RefusalGroup, Tone, group_refusals
from medray.report.drift import Drift, compare, statistics
from medray.report.page import environment_of
from medray.spec.schedules import Schedule
from medray.steps.base.step import named
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.quarantine import read_refusals
from medray.storage.store.objects import Objects

NIGHTS = 14  # in the table of what was before
DRAWN = 6  # columns that moved, of one dataset
KEPT = ("error-budget", "empty-dataset")  # what ends a step that keeps what it refused


@dataclass(frozen=True)
class Output:
    """One dataset that the night added to, or should have.

    Args:
        kind: of the step.
        name: of the dataset.
        version: that it has now; "": the step made none.
        inputs: that the version accounts for.
        known: samples that were there before.
        new: samples that were not.
        quarantined: inputs refused, all in all.
        passed_over: inputs that are nothing that was asked for, all in all.
        refused: those that were not refused before, by reason.
        passed: those that were not passed over before, by reason.
        stages: seconds of work on what is new, by stage.
        new_bytes: stored for it.
    """

    kind: str
    name: str
    version: str
    inputs: int
    known: int
    new: int
    quarantined: int
    passed_over: int
    refused: Sequence[RefusalGroup]
    passed: Sequence[RefusalGroup]
    stages: Mapping[str, float]
    new_bytes: int


@dataclass(frozen=True)
class Shift:
    """How one dataset's new samples compare; `figures` draw the columns that moved."""

    role: str
    name: str
    drifts: Sequence[Drift]
    figures: Sequence[str] = ()


@dataclass(frozen=True)
class Morning:
    """All that stands on the page."""

    schedule: Schedule
    record: Record
    end: End
    reference: str
    outputs: Sequence[Output]
    shifts: Sequence[Shift]
    nights: Sequence[Record]
    created: str
    moved: list[str] = field(default_factory=list)

    @property
    def new(self) -> int:
        """Samples of the last step that computes samples: what the night was for."""
        return self.outputs[-1].new if self.outputs else 0

    @property
    def refused(self) -> int:
        """Inputs that this night refused."""
        return sum(group.inputs for output in self.outputs for group in output.refused)

    @property
    def passed_over(self) -> int:
        """Inputs that this night passed over."""
        return sum(group.inputs for output in self.outputs for group in output.passed)

    @property
    def node_seconds(self) -> float:
        """What it cost: time, times the nodes that it had."""
        return self.end.seconds * self.end.nodes

    @property
    def verdict(self) -> tuple[Tone, str, str]:
        """Tone, headline and explanation."""
        said = self.end.error.message if self.end.error else ""
        match self.end.state:
            case "failed":
                return "bad", "Failed", said or f"The run ended with {self.end.exit_status}."
            case "stopped":
                return (
                    "warn",
                    "Stopped",
                    "What is committed stays; the next run goes on from there.",
                )
            case "missed":
                return "warn", "Missed", "No scheduler was there; the catch-up policy leaves it."
            case "overlap":
                return "warn", "Skipped", "The run before was still under way."
        if self.moved:
            return "warn", "Done, and the data have moved", f"Look at {', '.join(self.moved)}."
        if self.refused:
            return "warn", "Done, with quarantine", f"{self.refused} inputs were refused tonight."
        return "good", "Done", "Every input is accounted for."


def write_morning(
    objects: Objects,
    name: str,
    *,
    due: str | None = None,
    reference: str | None = None,
    clock: Clock = SYSTEM,
) -> str:
    """Write the page of one due time; the newest is also reports/<name>/morning.html.

    Args:
        objects: the storage root.
        name: of the schedule.
        due: the due time; None: the newest that has ended.
        reference: due time of the run to compare with; None: the first that was done.
        clock: stamps the page.

    Returns:
        Path of the page below the root.

    Raises:
        SpecError: no such due time has ended (code "no-such-due-time").
    """
    schedule = schedules.read(objects, name)
    claims = Claims(objects, name, clock)
    ended = _ended(claims)
    if due is None and ended:
        due = ended[-1]
    if due not in ended or (reference is not None and reference not in ended):
        raise SpecError(
            "no such due time has ended",
            code="no-such-due-time",
            about=f"{name} {due if due not in ended else reference}",
            hint=f"`medray schedule show {name} --json` lists them",
        )
    page = _render(_collect(objects, schedule, claims, due, reference, clock)).encode()
    path = f"reports/{name}/{due}.html"
    objects.put(path, page)
    if due == ended[-1]:
        objects.put(f"reports/{name}/morning.html", page)
    return path


def _ended(claims: Claims) -> list[str]:
    claimed, unfinished = claims.names()
    return [due for due in claimed if due not in unfinished]


def _collect(
    objects: Objects,
    schedule: Schedule,
    claims: Claims,
    due: str,
    reference: str | None,
    clock: Clock,
) -> Morning:
    record = claims.record(due)
    before = [claims.record(name) for name in _ended(claims) if name < due]
    done = [one for one in before if one.end and one.end.state == "done"]
    chosen = claims.record(reference) if reference else done[0] if done else None
    last = _made(done[-1]) if done else {}
    then = _made(chosen) if chosen else {}
    outputs, shifts = [], []
    for step in record.end.steps if record.end else []:
        role = named(step["kind"]).watches
        if not role:
            continue
        made = open_dataset(objects, step["output"])
        known = _units(objects, last.get(made.name))
        outputs.append(_output(step["kind"], made, known, objects, last.get(made.name)))
        compared = open_dataset(objects, then[made.name]) if made.name in then else None
        if compared is not None:
            shifts.append(_shift(role, made, known, compared))
    if due == _ended(claims)[-1]:  # the next night keeps its own
        outputs += _stopped(objects, record, last)
    moved = [
        f"{drift.column} of {shift.name}"
        for shift in shifts
        for drift in shift.drifts
        if drift.verdict == "shifted"
    ]
    return Morning(
        schedule=schedule,
        record=record,
        end=record.end or End("failed", ""),
        reference=chosen.claim.due if chosen else "",
        outputs=outputs,
        shifts=shifts,
        nights=[record, *reversed(before)][:NIGHTS],
        created=clock.now().strftime("%Y-%m-%d %H:%M UTC"),
        moved=moved,
    )


def _made(record: Record) -> dict[str, str]:
    """Datasets by name, as name@version: what a run made, or found done."""
    steps = record.end.steps if record.end else []
    return {step["output"].partition("@")[0]: step["output"] for step in steps}


def _units(objects: Objects, reference: str | None) -> frozenset[str]:
    if reference is None:
        return frozenset()
    return frozenset(open_dataset(objects, reference).units.column("unit"))


def _output(
    kind: str, made: Dataset, known: frozenset[str], objects: Objects, last: str | None
) -> Output:
    fresh = [shard for shard in made.units if shard.unit not in known]
    new = sum(shard.rows for shard in fresh)
    refused, passed = _tonight(objects, made.name, made.quarantine().to_pylist(), last)
    stages = Ledger(objects, made.name).committed(shard.unit for shard in fresh).seconds()
    return Output(
        kind=kind,
        name=made.name,
        version=made.version,
        inputs=made.inputs.planned,
        known=len(made) - new,
        new=new,
        quarantined=made.inputs.quarantined,
        passed_over=made.inputs.passed_over,
        refused=refused,
        passed=passed,
        stages=stages,
        new_bytes=sum(shard.bytes for shard in fresh),
    )


def _stopped(objects: Objects, record: Record, last: Mapping[str, str]) -> list[Output]:
    """What the step took and refused that made no version, where it has kept that."""
    end = record.end
    if end is None or end.error is None or end.error.code not in KEPT:
        return []
    document = record.claim.documents[len(end.steps)]
    name = document["output"]
    kept = read_refusals(objects, name)
    if kept is None:
        return []
    rows, before = kept.to_pylist(), last.get(name)
    refused, passed = _tonight(objects, name, rows, before)
    every = group_refusals(name, rows)
    return [
        Output(
            kind=document["kind"],
            name=name,
            version="",
            inputs=0,
            known=len(open_dataset(objects, before)) if before else 0,
            new=0,
            quarantined=sum(group.inputs for group in every if group.kind == "quarantined"),
            passed_over=sum(group.inputs for group in every if group.kind == "passed-over"),
            refused=refused,
            passed=passed,
            stages={},
            new_bytes=0,
        )
    ]


def _tonight(
    objects: Objects, name: str, rows: Sequence[Mapping[str, Any]], last: str | None
) -> tuple[list[RefusalGroup], list[RefusalGroup]]:
    """Refused, and passed over, that were not so in the version before."""

    def of(row: Mapping[str, Any]) -> tuple[str, str, str]:
        return row["source"], row["sample"], row["code"]

    before = (
        {of(row) for row in open_dataset(objects, last).quarantine().to_pylist()} if last else ()
    )
    groups = group_refusals(name, [row for row in rows if of(row) not in before])
    refused = [group for group in groups if group.kind == "quarantined"]
    return refused, [group for group in groups if group.kind == "passed-over"]


def _shift(role: str, made: Dataset, known: frozenset[str], reference: Dataset) -> Shift:
    before, tonight = statistics(reference.samples), statistics(_fresh(made, known))
    drifts = compare(before, tonight)
    moved = [drift.column for drift in drifts if drift.verdict in ("shifted", "watch")]
    drawn = [curves.shift(name, before[name], tonight[name]) for name in moved[:DRAWN]]
    return Shift(role, made.name, drifts, [Markup(svg) for svg in drawn])  # noqa: S704 - ours


def _fresh(made: Dataset, known: frozenset[str]) -> pa.Table:
    """The rows of units that were not there before."""
    tables = [
        shard.table
        for shard, entry in zip(made.shards, made.units, strict=True)
        if entry.unit not in known and entry.rows
    ]
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})


def _render(morning: Morning) -> str:
    zone = ZoneInfo(morning.schedule.tz)

    def shown(at: datetime.datetime) -> str:
        return at.astimezone(zone).strftime("%a %d %b %Y %H:%M %Z")

    def local(record: Record) -> str:
        return shown(record.claim.at)

    def due(name: str) -> str:
        return shown(parse_due(name))

    template = environment_of().get_template("morning.html.j2")
    return template.render(morning=morning, local=local, due=due)
