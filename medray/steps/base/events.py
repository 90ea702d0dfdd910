"""What a run tells whoever watches it, and what it ends with."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Name = Literal["waiting", "job", "begin", "step", "unit", "epoch", "contended", "done"]


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Args:
        name: "waiting" (for its turn on a cluster), "job" (the run is known), "begin" (of a
            document: what it is and makes), "step" (a step is
            planned), "unit" (a receipt came in), "epoch" (a training went on), "contended" (another
            job made a version of the same name meanwhile), "done" (a step is).
        fields: ids, counts and durations; of "done", those of a StepResult.
    """

    name: Name
    fields: dict[str, Any]


Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Tally:
    """Accountable inputs of a step: planned = committed + skipped + quarantined + passed over.

    Args:
        planned: all of them. A training is one.
        committed: by this run.
        skipped: committed by an earlier one.
        quarantined: refused, by this run or an earlier one.
        passed_over: sound, but nothing that was asked for.
    """

    planned: int
    committed: int
    skipped: int
    quarantined: int
    passed_over: int = 0


@dataclass(frozen=True)
class StepResult:
    """What one step made.

    Args:
        kind: of the step.
        run: id of the step's run.
        output: name@version.
        digest: hash of the content.
        units: its accountable inputs.
        metrics: of a training or an evaluation.
        reasons: code → inputs quarantined for it.
        passed_over: code → inputs passed over for it.
        samples_quarantined: code → samples quarantined for it, of inputs that are committed.
        samples_passed_over: code → the same, passed over.
        cautions: what is to be known before the metrics are believed.
        seconds: wall time of this run.
    """

    kind: str
    run: str
    output: str
    digest: str
    units: Tally
    metrics: dict[str, float]
    reasons: dict[str, int] = field(default_factory=dict)
    passed_over: dict[str, int] = field(default_factory=dict)
    samples_quarantined: dict[str, int] = field(default_factory=dict)
    samples_passed_over: dict[str, int] = field(default_factory=dict)
    cautions: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """A finished run of a job.

    Args:
        id: of the job's run.
        steps: in order.
        status: "done": every input of every step is committed, passed over, or quarantined within
            the budget.
    """

    id: str
    steps: list[StepResult]
    status: Literal["done"] = "done"

    @property
    def output(self) -> str:
        """name@version of what the last step made."""
        return self.steps[-1].output
