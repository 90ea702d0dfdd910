"""The baseline beside a network: fitted when it is trained, judged on the same samples as it is."""

from typing import Any

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError
from safetensors.numpy import load, save

from medray.engine.training.linear import Linear, fit_classes, fit_labels, fit_values
from medray.engine.training.setup import TrainSetup
from medray.errors import DataError, SpecError
from medray.modalities import modality_of, read_plan
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import table_of
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.base import Task
from medray.tasks.metrics.bootstrap import Bootstrap

FILE = "baseline.safetensors"
MOST = 20_000  # samples that logistic regression learns from, and
MOST_VALUES = 100_000  # ridge regression; more are thinned out evenly
TOGETHER = 20_000  # samples that are answered at once
LINKS = ("softmax", "sigmoid", "identity")


def fit_baseline(setup: TrainSetup) -> Linear | None:
    """Logistic or ridge regression of the training samples; None where none fits the modality,
    the task is one of every voxel or base, or all samples are of one class."""
    task = build_task(setup.task, setup.plan.frequencies)
    if task.answers == "place":
        return None
    data = open_dataset(setup.objects, setup.data)
    indices = data.select(setup.select)
    most = min(len(indices), MOST_VALUES if task.name == "regression" else MOST)
    indices = [indices[at] for at in np.linspace(0, len(indices) - 1, most).astype(int)]
    design = modality_of(setup.model).design(data, indices, setup.plan)
    targets = task.targets(data.samples.take(indices).to_pylist())
    if design is None or targets is None:
        return None
    wanted = targets.numpy()
    if task.name == "regression":
        return fit_values(design, wanted)
    if wanted.ndim == 2:
        return fit_labels(design, wanted)
    try:
        return fit_classes(design, wanted, len(task.classes))
    except SpecError:
        return None


def validate_baseline(setup: TrainSetup, fitted: Linear) -> dict[str, float]:
    """The metrics of a training's validation, `val_` read `baseline_`; empty without validation."""
    data = open_dataset(setup.objects, setup.data)
    indices = data.select(setup.validation) if setup.validation else []
    if not indices:
        return {}
    task = build_task(setup.task, setup.plan.frequencies)
    answers = _answers(setup.model, setup.plan, fitted, data, indices)
    targets = task.targets(data.samples.take(indices).to_pylist())
    found = task.summarise(answers.astype(np.float64), None if targets is None else targets.numpy())
    return {
        name.replace("val_", "baseline_", 1): round(value, 6)
        for name, value in found.items()
        if np.isfinite(value)
    }


def encode(members: list[Linear]) -> bytes:
    """Baselines of a model's networks, in order, as a safetensors file."""
    tensors: dict[str, np.ndarray] = {}
    for at, one in enumerate(members):
        tensors[f"{at}.coefficients"] = np.ascontiguousarray(one.coefficients)
        tensors[f"{at}.intercepts"] = np.ascontiguousarray(one.intercepts)
        tensors[f"{at}.link"] = np.array([LINKS.index(one.link)], np.uint8)
    made: bytes = save(tensors)
    return made


def decode(data: bytes) -> list[Linear]:
    """What `encode` wrote.

    Raises:
        DataError: it is not (code "bad-weights").
    """
    try:
        tensors = load(data)
        return [
            Linear(
                tensors[f"{at}.coefficients"],
                tensors[f"{at}.intercepts"],
                LINKS[int(tensors[f"{at}.link"][0])],  # type: ignore[arg-type]
            )
            for at in range(len(tensors) // 3)
        ]
    except (SafetensorError, KeyError, IndexError) as error:
        raise DataError("not a sound safetensors file", code="bad-weights") from error


def score_baseline(
    objects: Objects, predictions: Dataset, truth: Dataset, cases: pa.Table
) -> dict[str, float]:
    """What the evaluated model's baseline reaches on the same cases, by the same definitions.

    Args:
        objects: the storage root.
        predictions: that were evaluated.
        truth: the dataset of the cases.
        cases: score rows of the evaluation.

    Returns:
        Metric → value; empty where the model has no baseline.
    """
    package = open_model(objects, predictions.attributes["model"])
    if FILE not in package.files:
        return {}
    places = {one: at for at, one in enumerate(truth.samples["sample_id"].to_pylist())}
    ids = list(dict.fromkeys(cases["case"].to_pylist()))
    indices = [places[one] for one in ids if one in places]
    rows = truth.samples.take(indices).to_pylist()
    answers = _by_members(package, predictions, truth, indices, rows)
    task = build_task(package.config["task"])
    scored = [
        {"sample_id": row["sample_id"], **_about(row), **score}
        for row, answer in zip(rows, answers, strict=True)
        for score in task.score(Sample(row["sample_id"], row), _prediction(task, row, answer))
    ]
    summary = task.conclude(table_of(scored), Bootstrap(repeats=0, seed=0))
    return {
        name: estimate["value"]
        for name, estimate in summary["metrics"].items()
        if estimate["value"] is not None
    }


def _by_members(
    package: ModelPackage,
    predictions: Dataset,
    truth: Dataset,
    indices: list[int],
    rows: list[dict[str, Any]],
) -> np.ndarray:
    """Answers (samples, …): of the one network, of that which held a sample out, or their mean."""
    members = decode(package.read(FILE))
    model, folds = package.config["model"], package.config.get("folds")
    if folds is None:
        plan = read_plan(package.config["plan"])
        return _answers(model, plan, members[0], truth, indices)
    each = [
        _answers(model, read_plan(fold["plan"]), member, truth, indices)
        for fold, member in zip(folds["members"], members, strict=True)
    ]
    answers: np.ndarray = np.mean(each, axis=0)
    learnt_from = package.parents[0].partition("@")[0]
    if predictions.attributes["data"].partition("@")[0] == learnt_from:  # as engine.folds answers
        number = {fold["value"]: at for at, fold in enumerate(folds["members"])}
        for at, row in enumerate(rows):
            answers[at] = each[number[row[folds["column"]]]][at]
    return answers


def _answers(
    model: dict[str, Any], plan: Any, fitted: Linear, data: Dataset, indices: list[int]
) -> np.ndarray:
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


def _about(row: dict[str, Any]) -> dict[str, Any]:
    about = {"case": row["sample_id"]}
    return about | ({"subject": row["subject"]} if row.get("subject") is not None else {})
