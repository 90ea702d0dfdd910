"""Run a training: look at the data, plan, train on ranks, commit the model package."""

from typing import Any

import numpy as np

from medray.clock import SYSTEM, Clock
from medray.data.order import seed_of
from medray.engine.training.leak import cautions, met, refuse, shared
from medray.engine.training.loop import TrainResult
from medray.engine.training.package import save_folds, save_trained
from medray.engine.training.setup import TrainSetup, with_vectors
from medray.errors import DamageError, SpecError
from medray.modalities import modality_of
from medray.modalities.plan import Wanted
from medray.steps.base.events import Event, Listener, StepResult, Tally
from medray.steps.base.planned import selected
from medray.steps.base.resolved import Resolved
from medray.steps.base.work import Work
from medray.steps.train.spec import TrainSpec
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import ModelPackage, make_newest, open_model
from medray.tasks import build_task

# Folds that the same ranks train: starting ranks takes several seconds, a small network less. Not
# all of them: their plans are held and sent together.
TOGETHER = 16


def run_training(resolved: Resolved[TrainSpec], work: Work, clock: Clock = SYSTEM) -> StepResult:
    """Train, unless this very training was done before; resumes at its newest checkpoint.

    Raises:
        InterruptedRun: `work.stop` was set; the newest checkpoint is where it goes on (code
            "stopped").
        SpecError: data, task and network don't fit together.
        FatalError: the loss diverged.
    """
    started = clock.monotonic()
    done = _made_before(work)
    if work.known is not None and done is None:
        # No longer done: gc would take the checkpoints of a run that has a result.
        work.objects.delete([f"runs/{resolved.run}/result.json"])
    work.tell(
        Event(
            "step",
            {
                "kind": resolved.step.kind,
                "run": resolved.run,
                "output": resolved.output,
                "units": 1,
                "units_skipped": int(done is not None),
                "inputs": 1,
                "inputs_done": int(done is not None),
            },
        )
    )
    package = done or _train(resolved, work)
    return StepResult(
        kind=resolved.step.kind,
        run=resolved.run,
        output=package.reference,
        digest=package.digest,
        units=Tally(1, int(done is None), int(done is not None), 0),
        metrics={k: v for k, v in package.metrics.items() if isinstance(v, int | float)},
        cautions=cautions(package.config),
        seconds=round(clock.monotonic() - started, 3),
    )


def _made_before(work: Work) -> ModelPackage | None:
    if work.known is None:
        return None
    try:
        package = open_model(work.objects, work.known.output)
    except (SpecError, DamageError):
        return None  # somebody removed the model, or it is damaged: train again
    if not package.is_whole:
        return None
    make_newest(package)
    return package


def _train(resolved: Resolved[TrainSpec], work: Work) -> ModelPackage:
    run = f"runs/{resolved.run}"
    data = open_dataset(work.objects, resolved.parents[0])
    spec = _pinned(resolved)
    _check_selected(spec, data)
    spec = _settled(spec, data)
    if spec.folds is None and spec.members == 1:
        setup = _setup(spec, data, work, run)
        (result,) = work.fit([setup], [work.tell])
        return save_trained(setup, result, resolved.output, spec=resolved.spec)
    made: list[tuple[Any, TrainSetup, TrainResult]] = []
    task = build_task(spec.task.model_dump(mode="json"))
    together = modality_of(spec.model.model_dump(mode="json")).plans_together(task.answers)
    folds = _members(spec) if spec.folds is None else _folds(spec, data)
    for first in range(0, len(folds), TOGETHER):
        some = dict(enumerate(folds[first : first + TOGETHER], first))
        setups = [
            _setup(part, data, work, f"{run}/folds/{at}", planned=spec if together else None)
            for at, (_, part) in some.items()
        ]
        tells = [_telling(work.tell, at + 1, len(folds)) for at in some]
        results = work.fit(setups, tells)
        made += zip((value for value, _ in some.values()), setups, results, strict=True)
    return save_folds(made, resolved.output, column=spec.folds or "", spec=resolved.spec)


def _pinned(resolved: Resolved[TrainSpec]) -> TrainSpec:
    """The spec, with the version of samples without targets; theirs is the second parent where
    they are of another dataset."""
    spec = resolved.step
    if spec.unlabelled is None:
        return spec
    at = 0 if spec.unlabelled.data is None else 1
    found = spec.unlabelled.model_copy(update={"data": resolved.parents[at]})
    return spec.model_copy(update={"unlabelled": found})


def _check_selected(spec: TrainSpec, data: Dataset) -> None:
    """Refuse what selects nothing; a validation only where the job asks for it.

    Raises:
        SpecError: see `selected`.
    """
    selected(data, spec.select)
    asked = spec.validation and spec.validation != TrainSpec.model_fields["validation"].default
    if spec.folds is None and asked:
        selected(data, spec.validation, "validation")
    if spec.unlabelled is not None:
        other = open_dataset(data.objects, str(spec.unlabelled.data))
        selected(other, spec.unlabelled.select, "unlabelled.select")


def _settled(spec: TrainSpec, data: Dataset) -> TrainSpec:
    """The spec, with options of the task that all samples together choose."""
    task = build_task(spec.task.model_dump(mode="json"))

    def targets() -> np.ndarray:
        found = task.targets(data.samples.take(data.select(spec.select)).to_pylist())
        return np.zeros(0) if found is None else found.numpy()

    chosen = task.settled(targets)
    return spec.model_copy(update={"task": spec.task.model_copy(update=chosen)}) if chosen else spec


def _members(spec: TrainSpec) -> list[tuple[Any, TrainSpec]]:
    """For each of several networks of the same samples, by its number, a training from a seed of
    its own."""
    seeds = [seed_of(spec.train.seed, at) % 2**32 for at in range(spec.members)]
    settings = [spec.train.model_copy(update={"seed": seed}) for seed in seeds]
    return [(at, spec.model_copy(update={"train": one})) for at, one in enumerate(settings)]


def _telling(tell: Listener, fold: int, folds: int) -> Listener:
    """Tells which fold it is about."""
    return lambda event: tell(Event(event.name, {**event.fields, "fold": fold, "folds": folds}))


def _folds(spec: TrainSpec, data: Dataset) -> list[tuple[Any, TrainSpec]]:
    """For each value of the folds' column, the training that goes without it.

    Raises:
        SpecError: there is no such column ("no-such-column"), a sample has no value in it
            ("no-fold"), or all have the same ("one-fold").
    """
    column = str(spec.folds)
    if column not in data.manifest.columns:
        raise SpecError(
            f"there is no column {column!r} to part folds by",
            code="no-such-column",
            about=data.reference,
            hint=f"columns: {', '.join(data.manifest.columns)}",
        )
    found = data.columns([column])[column].take(data.select(spec.select))
    values = sorted(set(found.drop_null().to_pylist()))
    if found.null_count:
        raise SpecError(
            f"{found.null_count} samples have no value in the column {column!r}",
            code="no-fold",
            about=data.reference,
            hint=f"leave them out by `select: {{{column}: [{', '.join(map(str, values))}]}}`",
        )
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
            spec.model_copy(
                update={
                    "select": {**spec.select, column: [one for one in values if one != value]},
                    "validation": {**spec.select, column: value},
                }
            ),
        )
        for value in values
    ]


def _setup(
    spec: TrainSpec, data: Dataset, work: Work, run: str, *, planned: TrainSpec | None = None
) -> TrainSetup:
    """What a network is trained with; its plan is of the samples that `planned` selects, or it."""
    task = spec.task.model_dump(mode="json")
    model = spec.model.model_dump(mode="json")
    found = shared(data, spec.select, spec.validation)
    if spec.unlabelled is not None and spec.validation:
        other = open_dataset(work.objects, str(spec.unlabelled.data))
        found |= met(data, spec.validation, other, spec.unlabelled.select)
    if not spec.allow_leak:
        refuse(found, data.reference)
    modality = modality_of(model)
    given = modality.PlanOptions.model_validate(spec.plan)
    wanted = Wanted(model, spec.train, given, work.device)
    selected = data.select((planned or spec).select)
    plan = modality.plan(data, selected, build_task(task), wanted)
    setup = TrainSetup(
        objects=work.objects,
        data=data.reference,
        task=task,
        model=model,
        plan=plan,
        settings=spec.train,
        run=run,
        select=spec.select,
        validation=spec.validation,
        shared=found,
        unlabelled=spec.unlabelled,
    )
    return with_vectors(setup)
