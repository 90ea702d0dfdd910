"""Run the units of one step until every one is committed, and publish the version they make."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medray.clock import SYSTEM, Clock
from medray.engine.units.operation import Unit
from medray.errors import DataError, InterruptedRun, MedrayError, error_of, gravest
from medray.jobs.budget import Budget, reasons
from medray.jobs.execute import Executor
from medray.steps.base.events import Event, Listener, StepResult, Tally
from medray.steps.base.planned import Planned
from medray.steps.base.resolve import kind_of
from medray.steps.base.resolved import Resolved
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.catalog.quarantine import keep_refusals
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import single_samples, whole_inputs
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.engine.units.worker import Receipt


def run_units(
    resolved: Resolved[Any],
    planned: Planned,
    executor: Executor,
    objects: Objects,
    stop: threading.Event,
    tell: Listener,
    clock: Clock = SYSTEM,
) -> StepResult:
    """Run what is not committed yet, and publish.

    Raises:
        InterruptedRun: `stop` was set before the end (code "stopped").
        DataError: more was refused than the error budget allows (code "error-budget"), or no
            sample is left (code "empty-dataset").
        MedrayError: units failed; the class says how gravely (code "units-failed").
    """
    started = clock.monotonic()
    ledger = Ledger(objects, resolved.output)
    first = resolved.first.planned if resolved.first is not None else None
    if resolved.first is not None and first is not None:
        done = ledger.committed(unit.id for unit in planned.units)
        if len(done) < len(planned.units):
            _complete(resolved.first, first, objects, executor, stop, tell)
    own, ordered = _complete(resolved, planned, objects, executor, stop, tell)
    if not any(ordered.column("rows")):
        keep_refusals(objects, resolved.output, ordered, planned.refused)
        raise DataError(
            f"nothing is left of {planned.inputs} inputs, and an empty dataset is no dataset",
            code="empty-dataset",
            about=resolved.output,
            hint=f"`medray quarantine {resolved.output}` has the reasons",
        )
    dataset = publish(
        objects,
        resolved.output,
        kind=resolved.step.kind,
        spec=resolved.spec,
        commits=ordered,
        refused=planned.refused,
        parents=resolved.parents,
        attributes={**resolved.attributes, **_concluded(resolved, objects, ordered)},
    )
    dataset.check()
    if first is not None:
        ledger.drop(unit.id for unit in first.units)
    return _result(resolved, planned, own, ordered, dataset, clock.monotonic() - started)


def _complete(
    resolved: Resolved[Any],
    planned: Planned,
    objects: Objects,
    executor: Executor,
    stop: threading.Event,
    tell: Listener,
) -> tuple[set[str], Commits]:
    """Commit every unit; returns those that this call committed, and all commits in order."""
    ledger = Ledger(objects, resolved.output)
    before = ledger.committed(unit.id for unit in planned.units)
    ledger.pack()
    budget = Budget(resolved, planned, before, objects)
    tell(Event("step", _outset(resolved, planned, before, budget)))
    budget.check(before)
    done = set(before.units)
    pending = [unit for unit in planned.units if unit.id not in done]
    failed, own, overdrawn = _pass(resolved, pending, executor, stop, tell, budget)
    if failed and not overdrawn:
        raise _failure(resolved, planned, failed)
    made = ledger.committed(unit.id for unit in pending)
    commits = Commits.joined([before, made])
    budget.check(commits)
    ledger.pack()
    return own, commits.of_units(unit.id for unit in planned.units)


def _pass(
    resolved: Resolved[Any],
    pending: Sequence[Unit],
    executor: Executor,
    stop: threading.Event,
    tell: Listener,
    budget: Budget,
) -> tuple[dict[str, "Receipt"], set[str], bool]:
    """Run units once.

    Returns:
        The receipts of those that failed, the units that this run committed (others may be at work
        on the same), and whether the error budget is overdrawn, which ends the pass early.

    Raises:
        InterruptedRun: some were not begun, because the run is to stop.
    """
    failed: dict[str, Receipt] = {}
    own: set[str] = set()
    drained = 0
    overdrawn = False

    def take(receipt: "Receipt") -> None:
        nonlocal drained, overdrawn
        if receipt.state == "committed":
            own.add(receipt.unit)
        if receipt.state == "failed":
            failed[receipt.unit] = receipt
        elif receipt.state == "drained":
            drained += 1
        elif budget.take(receipt) and not overdrawn:
            overdrawn = True
            enough.set()
        tell(Event("unit", _of_receipt(resolved, receipt)))

    enough = _Either(stop)
    if pending:
        executor.run(resolved, pending, take, enough)
    if not overdrawn and (drained or (stop.is_set() and failed)):
        raise InterruptedRun(
            f"stopped with {drained + len(failed)} of {len(pending)} units to do",
            code="stopped",
            about=resolved.run,
            hint="`medray resume` goes on from here",
        )
    return failed, own, overdrawn


class _Either(threading.Event):
    """Set by itself or by another event."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Whether either is set."""
        return super().is_set() or self._other.is_set()


def _failure(
    resolved: Resolved[Any], planned: Planned, failed: dict[str, "Receipt"]
) -> MedrayError:
    worst = gravest(receipt.exit_status for receipt in failed.values())
    first = min(
        (receipt for receipt in failed.values() if receipt.exit_status == worst),
        key=lambda receipt: receipt.index,
    )
    return error_of(worst)(
        f"{len(failed)} of {len(planned.units)} units failed; the first: {first.error}",
        code="units-failed",
        about=resolved.run,
        hint="what is committed stays; `medray resume` goes on from here",
    )


def _concluded(resolved: Resolved[Any], objects: Objects, commits: Commits) -> dict[str, Any]:
    """What all units say together."""
    pairs = zip(commits.pinned(), commits.column("rows"), strict=True)
    shards = [Shard(objects, pinned) if rows else None for pinned, rows in pairs]
    return kind_of(resolved.step).conclude(resolved, objects, shards)


def _outset(
    resolved: Resolved[Any], planned: Planned, before: Commits, budget: Budget
) -> dict[str, object]:
    return {
        "kind": resolved.step.kind,
        "run": resolved.run,
        "output": resolved.output,
        "units": len(planned.units),
        "units_skipped": len(before),
        "inputs": planned.inputs,
        "inputs_done": sum(before.column("inputs")) + len(planned.refused),
        "quarantined": budget.refused,
        "samples_quarantined": sum(single_samples(before.refusals).values()),
        "passed_over": planned.inputs - budget.asked_for,
    }


def _of_receipt(resolved: Resolved[Any], receipt: "Receipt") -> dict[str, object]:
    return {
        "run": resolved.run,
        "unit": receipt.unit,
        "index": receipt.index,
        "state": receipt.state,
        "rows": receipt.rows,
        "inputs": receipt.inputs,
        "quarantined": receipt.quarantined,
        "samples_quarantined": receipt.samples_quarantined,
        "passed_over": receipt.passed_over,
        "bytes": receipt.bytes,
        "seconds": {name: round(value, 3) for name, value in receipt.seconds.items()},
        **({"error": receipt.error} if receipt.error else {}),
    }


def _result(
    resolved: Resolved[Any],
    planned: Planned,
    own: set[str],
    commits: Commits,
    dataset: Dataset,
    seconds: float,
) -> StepResult:
    pairs = zip(commits.units, commits.column("inputs"), strict=True)
    skipped = sum(
        inputs - sum(whole_inputs(commits.refused.get(unit, ())))
        for unit, inputs in pairs
        if unit not in own
    )
    return StepResult(
        kind=resolved.step.kind,
        run=resolved.run,
        output=dataset.reference,
        digest=dataset.digest,
        units=Tally(
            planned=dataset.inputs.planned,
            committed=dataset.inputs.committed - skipped,
            skipped=skipped,
            quarantined=dataset.inputs.quarantined,
            passed_over=dataset.inputs.passed_over,
        ),
        metrics=dataset.attributes.get("metrics", {}),
        reasons=reasons(commits, planned.refused),
        passed_over=reasons(commits, planned.refused, "passed-over"),
        samples_quarantined=single_samples(commits.refusals),
        samples_passed_over=single_samples(commits.refusals, "passed-over"),
        cautions=dataset.attributes.get("summary", {}).get("cautions", []),
        seconds=round(seconds, 3),
    )
