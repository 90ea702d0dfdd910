"""Progress while a job runs: bars on a terminal, else plain lines; and the account at its end."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self

import click

from medray.commands.output import print_table
from medray.spec.kinds import KINDS
from medray.steps.base.events import Event, StepResult

LINE_S = 5.0


class Watcher(Protocol):
    """Shows what happens in a run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...


class Bars:
    """A bar per step, with inputs, quarantine and speed."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("", visible=False, note="")
        self._count = _Count()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        self._count.take(event)
        count = self._count
        if event.name == "step":
            label = f"{event.fields['kind']:<9}{event.fields['output']}"
            self._task = self._progress.add_task(label, total=None, note="")
        if event.name in _SAID:
            self._progress.console.print(_SAID[event.name](event))
        elif event.name != "job":
            self._progress.update(
                self._task, total=count.total, completed=count.done, note=count.note
            )


class Lines:
    """A line every few seconds, on standard error."""

    def __init__(self) -> None:
        self._count = _Count()
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Show an event, if the last line is old enough or the event ends something."""
        self._count.take(event)
        now = time.monotonic()
        if event.name in _SAID:
            click.echo(_SAID[event.name](event), err=True)
        elif event.name == "job":
            steps = event.fields["steps"]
            of = "1 step" if steps == 1 else f"{steps} steps"
            click.echo(f"{event.fields['job']}: {of}", err=True)
        elif event.name == "begin":
            return  # what it has to do is told by `step`
        elif event.name in ("step", "done") or now - self._last >= LINE_S:
            self._last = now
            count = self._count
            note = f", {count.note}" if count.note else ""
            click.echo(f"{count.label}: {count.done} of {count.total}{note}", err=True)


def _waiting(event: Event) -> str:
    return f"waiting for its turn: {event.fields['ahead']} go before"


def _contended(event: Event) -> str:
    name, _, version = event.fields["output"].partition("@")
    others = ", ".join(other[: len(name) + 9] for other in event.fields["others"])
    return (
        f"warning: another job made {others} meanwhile; {name} is {version[:8]} now. "
        "Let each job write names of its own"
    )


# Events that are said in words, whatever else is shown.
_SAID: dict[str, Callable[[Event], str]] = {"waiting": _waiting, "contended": _contended}


def watcher() -> Watcher:
    """Bars on a terminal, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


class _Count:
    """Where the step at hand stands."""

    def __init__(self) -> None:
        self.label = self.note = ""
        self.total = self.done = 0
        self._refused = self._samples = self._passed = self._fresh = self._rows = 0
        self._since = time.monotonic()

    def take(self, event: Event) -> None:
        fields: dict[str, Any] = event.fields
        match event.name:
            case "step":
                self.label, self.note = f"{fields['kind']} {fields['output']}", ""
                self.total, self.done = fields["inputs"], fields["inputs_done"]
                self._refused = self._samples = self._passed = self._fresh = self._rows = 0
                self._since = time.monotonic()
            case "unit" if fields["state"] in ("committed", "skipped"):
                self.done += fields["inputs"]
                self._fresh += fields["inputs"]
                self._rows += fields["rows"]
                self._refused += fields["quarantined"]
                self._samples += fields["samples_quarantined"]
                self._passed += fields["passed_over"]
                self.note = self._speed(max(1e-3, time.monotonic() - self._since))
                if self._refused or self._samples:
                    self.note += f", {quarantined(self._refused, self._samples)}"
                if self._passed:
                    self.note += f", {self._passed} passed over"
            case "epoch":
                epochs, fold, folds = (
                    fields["epochs"],
                    fields.get("fold", 1),
                    fields.get("folds", 1),
                )
                self.total, self.done = epochs * folds, epochs * (fold - 1) + fields["epoch"]
                shown = [name for name in fields if name == "loss" or name.startswith("val_")]
                told = [f"{name} {fields[name]:.4f}" for name in shown[:3]]
                self.note = ", ".join([f"fold {fold} of {folds}", *told] if folds > 1 else told)
            case "done":
                units = fields["units"]
                self.total = self.done = units["planned"]
                self.note = f"{fields['seconds']:.1f} s"
                if KINDS.get(fields["kind"]).makes == "datasets":
                    passed = f"{units['passed_over']} passed over, " if units["passed_over"] else ""
                    samples = sum(fields["samples_quarantined"].values())
                    out = quarantined(units["quarantined"], samples)
                    self.note = f"{out}, {passed}{self.note}"

    def _speed(self, seconds: float) -> str:
        """Of rows where inputs hold many, and how long it takes to the end."""
        speed = f"{self._fresh / seconds:.1f} inputs/s"
        if self._rows > self._fresh:
            speed = f"{self._rows / seconds:,.0f} rows/s"
        if not self._fresh > 0 or self.done >= self.total:
            return speed
        left = math.ceil((self.total - self.done) * seconds / self._fresh)
        return f"{speed}, {timedelta(seconds=left)} left"


def quarantined(inputs: int, samples: int) -> str:
    """In words: inputs, and single samples of others."""
    several = "samples" if samples > 1 else "sample"
    return f"{inputs} quarantined" + (f" and {samples} single {several}" if samples else "")


def print_account(steps: Sequence[StepResult]) -> None:
    """The table that accounts for every input, why some were refused, and the scores."""
    columns = ["step", "output", "planned", "committed", "skipped", "quarantined"]
    print_table(
        [*columns, "and single samples", "passed over", "s"],
        [
            [
                step.kind,
                step.output.partition("@")[0],
                step.units.planned,
                step.units.committed,
                step.units.skipped,
                step.units.quarantined,
                sum(step.samples_quarantined.values()),
                step.units.passed_over,
                round(step.seconds, 1),
            ]
            for step in steps
        ],
    )
    for step in steps:
        name = step.output.partition("@")[0]
        for what, counts in (
            ("quarantined", step.reasons),
            ("single samples quarantined", step.samples_quarantined),
            ("passed over", step.passed_over),
            ("single samples passed over", step.samples_passed_over),
        ):
            if counts:
                why = ", ".join(f"{code} {count}" for code, count in counts.items())
                click.echo(f"{what} in {name}: {why}")
        if step.metrics:
            scores = ", ".join(f"{metric} {value:.4g}" for metric, value in step.metrics.items())
            click.echo(f"{name}: {scores}")
        for said in step.cautions:
            click.secho(f"CAUTION, {name}: {said}", fg="red", bold=True)
