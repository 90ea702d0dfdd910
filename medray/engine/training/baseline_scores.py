"""Baselines beside a network: fitted when it is trained, judged on the same samples as it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from medray.baselines import BASELINES
from medray.baselines.base import Baseline
from medray.baselines.stored import decode, file_of
from medray.engine.training.setup import TrainSetup
from medray.errors import DataError, SpecError
from medray.modalities import modality_of, plans_of, read_plan
from medray.modalities.base import Modality
from medray.modalities.learnt import Learnt
from medray.modalities.plan import Plan
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import table_of
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.base import Task
from medray.tasks.metrics.bootstrap import Bootstrap, about

TOGETHER = 20_000  # samples that are answered at once


def kinds_of(task: Task, modality: Modality, plan: Plan) -> list[str]:
    """Names of the baselines beside a network, which may answer with it."""
    if not task.baseline:
        return []
    named = [kind or task.baseline for kind in modality.baselines]
    return list(dict.fromkeys([*named, *task.beside, *modality.blends(plan)]))


def fit_baselines(setup: TrainSetup) -> dict[str, Baseline]:
    """Baselines of the training samples, by name; without those that the samples teach nothing."""
    task = build_task(setup.task, setup.plan.frequencies)
    modality = modality_of(setup.model)
    kinds = kinds_of(task, modality, setup.plan)
    found = {kind: _fitted(setup, kind, task, modality) for kind in kinds}
    return {kind: one for kind, one in found.items() if one is not None}


def _fitted(setup: TrainSetup, name: str, task: Task, modality: Modality) -> Baseline | None:
    kind = BASELINES.get(name)
    data = open_dataset(setup.objects, setup.data)
    indices = data.select(setup.select)
    most = min(len(indices), kind.most)
    indices = [indices[at] for at in np.linspace(0, len(indices) - 1, most).astype(int)]
    design = modality.design(data, indices, setup.plan)
    targets = task.targets(data.samples.take(indices).to_pylist())
    if design is None or targets is None:
        return None
    # In small steps threads wait for each other, busily: of 2,871 samples of 240 columns two take
    # eighteen times the processor time of one. And a sum does not depend on how many there are.
    with threadpool_limits(1):
        return kind.fit(design, targets.numpy(), task)


def validate_baselines(setup: TrainSetup, fitted: Mapping[str, Baseline]) -> dict[str, float]:
    """The metrics of a training's validation, named as of `called`; empty without validation."""
    data = open_dataset(setup.objects, setup.data)
    indices = data.select(setup.validation) if setup.validation else []
    if not indices:
        return {}
    task = build_task(setup.task, setup.plan.frequencies)
    targets = task.targets(data.samples.take(indices).to_pylist())
    truth = None if targets is None else targets.numpy()
    found = {}
    for kind, one in fitted.items():
        answers = answers_of(setup.model, setup.plan, one, data, indices)
        metrics = task.summarise(answers.astype(np.float64), truth)
        found[kind] = {
            name.removeprefix("val_"): round(value, 6)
            for name, value in metrics.items()
            if np.isfinite(value)
        }
    return called(found, task)


def called(found: Mapping[str, Mapping[str, float]], task: Task) -> dict[str, float]:
    """Metrics of baselines as a step prints them: `baseline_auc` of the task's own, of another
    `baseline-<its name>_auc`."""
    return {
        f"baseline{'' if kind == task.baseline else f'-{kind}'}_{name}": value
        for kind, metrics in found.items()
        for name, value in metrics.items()
    }


def score_baselines(
    objects: Objects, predictions: Dataset, truth: Dataset, cases: pa.Table
) -> dict[str, dict[str, Any]]:
    """What the evaluated model's baselines reach on the same cases, by the same definitions.

    Args:
        objects: the storage root.
        predictions: that were evaluated.
        truth: the dataset of the cases.
        cases: score rows of the evaluation.

    Returns:
        Summaries as of Task.conclude, without intervals, by the baseline's name; empty where the
        model has none, or the cases are recordings, along which none is asked.
    """
    package = open_model(objects, predictions.attributes["model"])
    options = package.config["task"]
    of_network = build_task(options).of_network
    task = build_task({name: options[name] for name in options if name not in of_network})
    plan = read_plan(plans_of(package)[0][1])
    kinds = kinds_of(task, modality_of(package.config["model"]), plan)
    kinds = [kind for kind in kinds if file_of(kind) in package.files]
    if not kinds or not _takes(package, truth):
        return {}
    places = {one: at for at, one in enumerate(truth.samples["sample_id"].to_pylist())}
    ids = list(dict.fromkeys(cases["case"].to_pylist()))
    indices = [places[one] for one in ids if one in places]
    rows = truth.samples.take(indices).to_pylist()
    found = {}
    for kind in kinds:
        fitted = decode(package.read(file_of(kind)), BASELINES.get(kind))
        answers = _by_members(package, fitted, predictions, truth, indices, rows)
        scored = [
            {"sample_id": row["sample_id"], **about(row["sample_id"], row), **score}
            for row, answer in zip(rows, answers, strict=True)
            for score in task.score(Sample(row["sample_id"], row), _prediction(task, row, answer))
        ]
        found[kind] = task.conclude(table_of(scored), Bootstrap(repeats=0, seed=0))
    return found


def _takes(package: ModelPackage, truth: Dataset) -> bool:
    """Whether these are samples that could be learnt from."""
    holds = Holds(names(truth.manifest.arrays), names(truth.manifest.columns))
    try:
        modality_of(package.config["model"]).needs.check(holds)
    except SpecError:
        return False
    return True


def _by_members(
    package: ModelPackage,
    members: list[Baseline],
    predictions: Dataset,
    truth: Dataset,
    indices: list[int],
    rows: list[dict[str, Any]],
) -> np.ndarray:
    """Answers (samples, …): of the one network, of that which held a sample out, or their mean."""
    model, folds = package.config["model"], package.config.get("folds")
    if folds is None:
        plan = read_plan(package.config["plan"])
        return answers_of(model, plan, members[0], truth, indices)
    each = [
        answers_of(model, read_plan(fold["plan"]), member, truth, indices)
        for fold, member in zip(folds["members"], members, strict=True)
    ]
    subjects = [str(one.get("subject") or "") for one in rows]
    values = [one.get(folds["column"]) for one in rows]
    asked = Learnt(package).asked(predictions.attributes.get("held_out"), subjects, values)
    asked |= ~asked.any(1, keepdims=True)  # of a fold that there was not, none has been asked
    answers: np.ndarray = np.einsum("nm,mn...->n...", asked / asked.sum(1)[:, None], each)
    return answers


def answers_of(
    model: dict[str, Any], plan: Any, fitted: Baseline, data: Dataset, indices: list[int]
) -> np.ndarray:
    """What a baseline answers to samples, (samples, answers).

    Args:
        model: beside which it stands, `name` and options.
        plan: of that one.
        fitted: the baseline.
        data: dataset of the samples.
        indices: which of them.
    """
    made = []
    for start in range(0, len(indices), TOGETHER):
        design = modality_of(model).design(data, indices[start : start + TOGETHER], plan)
        if design is None:
            raise DataError("this modality has no baseline", code="no-baseline")
        made.append(fitted.answers(design))
    answers: np.ndarray = np.concatenate(made)
    return answers


def _prediction(task: Task, row: dict[str, Any], answer: np.ndarray) -> Sample:
    return Sample(row["sample_id"], task.decide(answer))
