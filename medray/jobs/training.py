"""Run a training step: look at the data, plan, train inline or on Ray, commit the model package."""

import contextlib
import json
import queue
import threading
from collections.abc import Sequence
from typing import Any, cast

import torch

from medray.clock import SYSTEM, Clock
from medray.engine.training.checkpoint import STATE, Checkpoints
from medray.engine.training.loop import TrainResult, fit
from medray.engine.training.package import save_folds, save_trained
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.errors import DamageError, InterruptedRun, SpecError
from medray.jobs.events import Event, Listener, StepResult, Tally
from medray.jobs.execute import Executor
from medray.jobs.resolve import Resolved
from medray.modalities import modality_of
from medray.modalities.base import Wanted
from medray.spec.jobs import Train
from medray.spec.profiles import Inline
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import ModelPackage, make_newest, open_model
from medray.storage.store.objects import Objects
from medray.tasks import build_task

LOOK_S = 1.0
# Folds that the same ranks train: starting ranks takes several seconds, a small network less. Not
# all of them: their plans are held and sent together.
TOGETHER = 16


def run_training(
    resolved: Resolved,
    known: StepResult | None,
    executor: Executor,
    objects: Objects,
    stop: threading.Event,
    tell: Listener,
    clock: Clock = SYSTEM,
) -> StepResult:
    """Train, unless this very training was done before; resumes at its newest checkpoint.

    Args:
        known: what this run made when it was done last.

    Raises:
        InterruptedRun: `stop` was set; the newest checkpoint is where it goes on (code "stopped").
        SpecError: data, task and network don't fit together.
        FatalError: the loss diverged.
    """
    started = clock.monotonic()
    done = _made_before(objects, known)
    if known is not None and done is None:
        # No longer done: gc would take the checkpoints of a run that has a result.
        objects.delete([f"runs/{resolved.run}/result.json"])
    tell(
        Event(
            "step",
            {
                "kind": "train",
                "run": resolved.run,
                "output": resolved.output,
                "units": 1,
                "units_skipped": int(done is not None),
                "inputs": 1,
                "inputs_done": int(done is not None),
            },
        )
    )
    package = done or _train(cast("Train", resolved.step), resolved, executor, objects, stop, tell)
    return StepResult(
        kind="train",
        run=resolved.run,
        output=package.reference,
        digest=package.digest,
        units=Tally(1, int(done is None), int(done is not None), 0),
        metrics={k: v for k, v in package.metrics.items() if isinstance(v, int | float)},
        seconds=round(clock.monotonic() - started, 3),
    )


def _made_before(objects: Objects, known: StepResult | None) -> ModelPackage | None:
    if known is None:
        return None
    try:
        package = open_model(objects, known.output)
    except (SpecError, DamageError):
        return None  # somebody removed the model, or it is damaged: train again
    if not package.is_whole:
        return None
    make_newest(package)
    return package


def _train(
    step: Train,
    resolved: Resolved,
    executor: Executor,
    objects: Objects,
    stop: threading.Event,
    tell: Listener,
) -> ModelPackage:
    run = f"runs/{resolved.run}"
    if step.folds is None:
        setup = _setup(step, resolved, executor, objects, run)
        (result,) = _fit([setup], executor, stop, [tell])
        return save_trained(setup, result, resolved.output, spec=resolved.spec)
    made: list[tuple[Any, TrainSetup, TrainResult]] = []
    folds = _folds(step, open_dataset(objects, resolved.parents[0]))
    for first in range(0, len(folds), TOGETHER):
        some = dict(enumerate(folds[first : first + TOGETHER], first))
        setups = [
            _setup(part, resolved, executor, objects, f"{run}/folds/{at}")
            for at, (_, part) in some.items()
        ]
        tells = [_telling(tell, at + 1, len(folds)) for at in some]
        results = _fit(setups, executor, stop, tells)
        made += zip((value for value, _ in some.values()), setups, results, strict=True)
    return save_folds(made, resolved.output, column=step.folds, spec=resolved.spec)


def _telling(tell: Listener, fold: int, folds: int) -> Listener:
    """Tells which fold it is about."""
    return lambda event: tell(Event(event.name, {**event.fields, "fold": fold, "folds": folds}))


def _folds(step: Train, data: Dataset) -> list[tuple[Any, Train]]:
    """For each value of the folds' column, the step that trains without it.

    Raises:
        SpecError: there is no such column ("no-such-column"), or it has one value ("one-fold").
    """
    column = str(step.folds)
    if column not in data.manifest.columns:
        raise SpecError(
            f"there is no column {column!r} to part folds by",
            code="no-such-column",
            about=data.reference,
            hint=f"columns: {', '.join(data.manifest.columns)}",
        )
    values = sorted(set(data.columns([column])[column].take(data.select(step.select)).to_pylist()))
    if len(values) < 2:
        raise SpecError(
            f"the column {column!r} has {len(values)} value",
            code="one-fold",
            about=data.reference,
            hint="ingest with `folds`, or name another column",
        )
    return [
        (
            value,
            step.model_copy(
                update={
                    "select": {**step.select, column: [one for one in values if one != value]},
                    "validation": {**step.select, column: value},
                }
            ),
        )
        for value in values
    ]


def _fit(
    setups: Sequence[TrainSetup],
    executor: Executor,
    stop: threading.Event,
    tells: Sequence[Listener],
) -> list[TrainResult]:
    for setup in setups:
        plan = setup.plan.model_dump_json(indent=1)
        setup.objects.put(f"{setup.run}/plan.json", plan.encode())
    if not isinstance(executor.profile, Inline):
        return _fit_on_ray(setups, executor, stop, tells)
    device = torch.device(_device(executor))
    results = []
    for setup, tell in zip(setups, tells, strict=True):
        if setup.settings.threads is not None:
            torch.set_num_threads(setup.settings.threads)

        def report(
            metrics: dict[str, Any], setup: TrainSetup = setup, tell: Listener = tell
        ) -> None:
            tell(_epoch(setup, metrics))
            _check(stop, setup)

        results.append(fit(setup, World(device, report)))
    return results


def _fit_on_ray(
    setups: Sequence[TrainSetup],
    executor: Executor,
    stop: threading.Event,
    tells: Sequence[Listener],
) -> list[TrainResult]:
    """Train on Ray from a thread of its own, so that this one can watch and be stopped."""
    from medray.cluster.train import train_on_ray

    pool = executor.profile.pool("train")
    executor.start()
    executor.clear()
    ended: queue.Queue[list[TrainResult] | BaseException] = queue.Queue()

    def work() -> None:
        try:
            ended.put(
                train_on_ray(
                    setups,
                    cpus_per_worker=pool.cpus,
                    gpus_per_worker=pool.gpus,
                    labels=pool.labels,
                    grows=executor.grows,
                )
            )
        except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
            ended.put(error)

    threading.Thread(target=work, name="train", daemon=True).start()
    at = told = 0
    while True:
        with contextlib.suppress(queue.Empty):
            results = ended.get(timeout=LOOK_S)
            if isinstance(results, BaseException):
                raise results
            return results
        _check(stop, setups[at])
        # The ranks' own reports go to Ray; what they have made durable is the same on any cluster.
        told = _tell_newest(setups[at], told, tells[at])
        while at + 1 < len(setups) and (newer := _tell_newest(setups[at + 1], 0, tells[at + 1])):
            at, told = at + 1, newer


def _tell_newest(setup: TrainSetup, told: int, tell: Listener) -> int:
    """Tell of the newest checkpoint, unless that was done; returns its step."""
    found = Checkpoints(setup.objects, f"{setup.run}/checkpoints").committed()
    step, path = found[-1] if found else (0, "")
    if step > told:
        with contextlib.suppress(FileNotFoundError):  # pruned since it was listed
            state = json.loads(setup.objects.get(f"{path}/{STATE}"))
            validated = state["validations"][-1] if state["validations"] else {}
            done = {"epoch": step // state["epoch_steps"], "step": step}
            tell(_epoch(setup, {**validated, **done}))
    return max(step, told)


def _epoch(setup: TrainSetup, metrics: dict[str, Any]) -> Event:
    run = setup.run.split("/")[1]
    return Event("epoch", {"run": run, "epochs": setup.settings.epochs, **metrics})


def _check(stop: threading.Event, setup: TrainSetup) -> None:
    if stop.is_set():
        raise InterruptedRun(
            "the training was stopped",
            code="stopped",
            about=setup.run,
            hint="`medray resume` goes on from the newest checkpoint",
        )


def _setup(
    step: Train, resolved: Resolved, executor: Executor, objects: Objects, run: str
) -> TrainSetup:
    data = open_dataset(objects, resolved.parents[0])
    task = step.task.model_dump(mode="json")
    model = step.model.model_dump(mode="json")
    wanted = Wanted(model, step.train, step.plan, _device(executor))
    plan = modality_of(model).plan(data, data.select(step.select), build_task(task), wanted)
    return TrainSetup(
        objects=objects,
        data=data.reference,
        task=task,
        model=model,
        plan=plan,
        settings=step.train,
        run=run,
        select=step.select,
        validation=step.validation,
    )


def _device(executor: Executor) -> str:
    """Where the network will be trained, which the plan has to know before any rank exists."""
    if isinstance(executor.profile, Inline):
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if executor.profile.pool("train").gpus else "cpu"
