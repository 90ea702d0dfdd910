"""What a report says, before it is a page: plain values, the account of inputs, and the verdict."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medray.storage.shards.records import Kind
from medray.tasks.section import Section

Tone = Literal["good", "warn", "bad"]

_SOURCES_SHOWN = 50
OUT = ("quarantined", "samples")  # of a step, what is in quarantine


@dataclass(frozen=True)
class Step:
    """One step of the run.

    Args:
        kind: ingest, train, predict …
        output: name of what it made.
        version: of it; empty where nothing was made.
        digest: hash of its content.
        planned: accountable inputs; None for a step without units (train).
        committed: of these.
        quarantined: of these.
        samples: single ones that are quarantined of inputs that are committed.
        passed_over: of these: sound, but nothing that was asked for.
        units: that the inputs were cut into.
        reused: inputs that an earlier run had committed.
        seconds: wall time.
        state: complete, interrupted or failed.
        parents: versions that it was made of.
        stages: seconds of work by stage, over all workers.
    """

    kind: str
    output: str
    version: str = ""
    digest: str = ""
    planned: int | None = None
    committed: int = 0
    quarantined: int = 0
    samples: int = 0
    passed_over: int = 0
    units: int = 0
    reused: int = 0
    seconds: float = 0.0
    state: str = "complete"
    parents: Sequence[str] = ()
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether every planned input is committed, quarantined or passed over."""
        return self.planned is None or not self.missing

    @property
    def missing(self) -> int:
        """Planned inputs that are none of these."""
        return (self.planned or 0) - self.committed - self.quarantined - self.passed_over


@dataclass(frozen=True)
class RefusalGroup:
    """All refusals of one step for one reason and of one kind.

    Args:
        step: output of the step that refused.
        code: of the DataError.
        reasons: its messages, most frequent first, with their counts.
        inputs: accountable inputs refused.
        files: raw files behind them.
        sources: keys of the inputs, as the plan names them (pseudonyms where it must be).
        more: sources that are not listed.
        kind: "quarantined" or "passed-over".
        hints: what can be done, each once.
        syntaxes: transfer syntaxes of DICOM files among them.
    """

    step: str
    code: str
    reasons: Sequence[tuple[str, int]]
    inputs: int
    files: int
    sources: Sequence[str]
    more: int
    kind: Kind = "quarantined"
    hints: Sequence[str] = ()
    syntaxes: Sequence[str] = ()


@dataclass(frozen=True)
class Scores:
    """What `evaluate` found: name of the scores, their summary and rows, and what a page says."""

    name: str
    summary: Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]]
    section: Section

    @property
    def leaked(self) -> bool:
        """Whether the model learnt from cases, or subjects, that are scored."""
        seen = self.summary.get("learnt") or {}
        return bool(seen.get("samples") or seen.get("subjects"))


@dataclass(frozen=True)
class Training:
    """History of a training: a row per epoch (or step) of numbers, "epoch" or "step" among them.

    `directions` say of metrics in it whether higher is better; `cautions` why not to believe them.
    """

    model: str
    history: Sequence[Mapping[str, float | None]]
    config: Mapping[str, Any] = field(default_factory=dict)
    directions: Mapping[str, bool] = field(default_factory=dict)
    cautions: Sequence[str] = ()


@dataclass(frozen=True)
class Failure:
    """What ended a run before its end."""

    code: str
    message: str
    about: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Report:
    """All that stands on the page. No values of patient files: ids, counts and codes only.

    `sections` are what else datasets have to show, such as quality control.
    """

    title: str
    run: str
    created: str
    steps: Sequence[Step]
    refusals: Sequence[RefusalGroup] = ()
    trainings: Sequence[Training] = ()
    scores: Sequence[Scores] = ()
    sections: Sequence[Section] = ()
    failure: Failure | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Wall time of all steps."""
        return sum(step.seconds for step in self.steps)

    @property
    def unpredicted(self) -> int:
        """Cases that were scored as worst because they have no prediction."""
        return sum(
            len({row["case"] for row in scores.cases if row["status"] == "no-prediction"})
            for scores in self.scores
        )

    @property
    def cautions(self) -> list[str]:
        """What says that scores or samples are not what they seem."""
        forced = [f"{one.model}: {said}." for one in self.trainings for said in one.cautions]
        shown = [f"{one.title}: {said}." for one in self.sections for said in one.cautions]
        return (
            forced
            + shown
            + [
                f"{scores.name}: {said}."
                for scores in self.scores
                for said in scores.summary.get("cautions", [])
                if scores.leaked
            ]
        )

    @property
    def verdict(self) -> tuple[Tone, str, str]:
        """Tone, headline and explanation: the first thing the reader sees."""
        wrong = [step for step in self.steps if not step.adds_up]
        if wrong:
            names = ", ".join(step.output for step in wrong)
            return "bad", "The counts don't add up", f"Inputs are unaccounted for in {names}."
        unfinished = [step for step in self.steps if step.state != "complete"]
        if unfinished:
            step = unfinished[0]
            if self.failure is not None:
                number = self.steps.index(step) + 1
                said = f"{self.failure.message} [{self.failure.code}]"
                return "bad", f"Step {number}, {step.kind}, {step.state}", said
            text = f"The {step.kind} step {step.output!r} is {step.state}; resume the run."
            return "bad", "Not finished", text
        if self.cautions:
            return "bad", "Complete, but not to be believed as it stands", " ".join(self.cautions)
        if self.unpredicted:
            text = f"{_count(self.unpredicted, 'case')} without a prediction scored as worst."
            return "warn", "Complete, with missing predictions", text
        inputs, samples = (sum(getattr(step, of) for step in self.steps) for of in OUT)
        if inputs or samples:
            out = [_count(inputs, "input")] if inputs else []
            out += [_count(samples, "single sample")] if samples else []
            verb = "is" if inputs + samples == 1 else "are"
            text = (
                f"Every input is accounted for: {' and '.join(out)} {verb} in "
                "quarantine, with the reasons below."
            )
            return "warn", "Complete, with quarantine", text
        return "good", "Complete", "Every input is accounted for; nothing is in quarantine."


def group_refusals(step: str, rows: Sequence[Mapping[str, Any]]) -> list[RefusalGroup]:
    """Group the rows of a quarantine table by code, most inputs first.

    An input counts once, however many of its samples were refused.

    Args:
        step: output of the step.
        rows: of a quarantine table; what is passed over comes last.
    """
    by_code: dict[tuple[Kind, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_code.setdefault((row["kind"], row["code"]), []).append(row)
    groups = []
    for (kind, code), members in by_code.items():
        names = list(dict.fromkeys(_source(row) for row in members))
        groups.append(
            RefusalGroup(
                step=step,
                code=code,
                reasons=Counter(row["reason"] for row in members).most_common(),
                inputs=len(names),
                files=sum(row["files"] for row in members),
                sources=names[:_SOURCES_SHOWN],
                more=max(0, len(names) - _SOURCES_SHOWN),
                kind=kind,
                hints=_each(members, "hint"),
                syntaxes=_each(members, "syntax"),
            )
        )
    return sorted(groups, key=lambda one: (one.kind == "passed-over", -one.inputs, one.code))


def _source(row: Mapping[str, Any]) -> str:
    named = [row["source"], row["sample"], row["path"] if row["path"] != row["source"] else ""]
    return " · ".join(str(part) for part in named if part)


def _each(rows: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    return sorted({row[column] for row in rows if row[column]})


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
