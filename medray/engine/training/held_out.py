"""What samples say of networks that have learnt, and of baselines that answer with them: those that
were held out of how good they are, and what networks of folds choose for each other by these."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medray.baselines.base import Baseline
from medray.engine.training.baseline_scores import answers_of
from medray.engine.training.setup import TrainSetup
from medray.errors import SpecError
from medray.modalities import modality_of
from medray.modalities.base import Precision
from medray.models.base import Network
from medray.storage.catalog.datasets import open_dataset
from medray.tasks import build_task

Weights = dict[str, Tensor]
Fitted = Mapping[str, Baseline]


def validate_blend(setup: TrainSetup, weights: Weights, fitted: Fitted) -> dict[str, float]:
    """Metrics of the validation, in place of the network's: of the mean answers that predictors
    give. Empty where no baseline answers with the network, or nothing is validated.

    Args:
        setup: of the training.
        weights: of the network.
        fitted: baselines by name.

    Raises:
        SpecError: the samples taught a baseline nothing that is to answer (code "no-baseline").
    """
    kinds = modality_of(setup.model).blends(setup.plan)
    if not set(kinds) <= set(fitted):
        raise SpecError(
            "the samples teach a baseline nothing that is to answer with the network",
            code="no-baseline",
            about=", ".join(sorted(set(kinds) - set(fitted))),
            hint="leave it out of `plan.blend`",
        )
    if not kinds or not setup.validation:
        return {}
    return _metrics(setup, *_judged(setup, weights, fitted))


def of_members(
    setups: Sequence[TrainSetup], weights: Sequence[Weights], fitted: Sequence[Fitted]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics of the validation of the mean of networks that learnt from the same samples, and
    options of the task that it chose; empty where nothing is validated. Arguments as of
    `chosen_across`."""
    setup = setups[0]
    if not setup.validation:
        return {}, {}
    task = build_task(setup.task, setup.plan.frequencies)
    networks = [_network(*one) for one in zip(setups, weights, strict=True)]
    united = modality_of(setup.model).united(networks, [one.plan for one in setups], task)
    if united is not None:
        table, targets = _asked(setup, united, {})
    else:
        each = [_asked(*one) for one in zip(setups, networks, fitted, strict=True)]
        table, targets = np.mean([rows for rows, _ in each], axis=0), each[0][1]
    metrics = _metrics(setup, table, targets)
    if task.calibrates and len(table):
        return metrics, task.chosen_by(table, targets)
    return metrics, task.chosen(metrics)


def refitted(setup: TrainSetup, weights: Weights) -> TrainSetup:
    """The setup with what its samples say of targets once a network has learnt; see
    `Task.refitted`."""
    task = build_task(setup.task, setup.plan.frequencies)
    found = task.refitted(lambda: _judged(replace(setup, validation=setup.select), weights, {}))
    if not found:
        return setup
    return replace(setup, plan=setup.plan.model_copy(update={"frequencies": found}))


def judged_on(setup: TrainSetup, weights: Weights, select: dict[str, Any]) -> dict[str, float]:
    """Metrics of a network on samples that it was not validated on, as the task names them; those
    that nothing defines are left out.

    Args:
        setup: of the training.
        weights: of the network.
        select: samples of its dataset.
    """
    asked = replace(setup, validation=select)
    found = _metrics(asked, *_judged(asked, weights, {}))
    return {name.removeprefix("val_"): value for name, value in found.items()}


def chosen_alone(
    setup: TrainSetup, weights: Weights, fitted: Fitted, metrics: dict[str, float]
) -> dict[str, Any]:
    """Options of the task that the validation of one network chose.

    Args:
        setup: of the training.
        weights: of the network.
        fitted: baselines beside it, by name.
        metrics: of the validation; a task that calibrates is asked about what was judged itself.
    """
    task = build_task(setup.task, setup.plan.frequencies)
    data = open_dataset(setup.objects, setup.data)
    if not task.calibrates or not setup.validation or not data.select(setup.validation):
        return task.chosen(metrics)
    return task.chosen_by(*_judged(setup, weights, fitted))


def chosen_across(
    setups: Sequence[TrainSetup], weights: Sequence[Weights], fitted: Sequence[Fitted]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Options of the task: of all networks together, and of each; see `Task.chosen_across`.

    Args:
        setups: of each fold's training, which was validated on what it held out.
        weights: that it chose.
        fitted: baselines beside it, by name.
    """
    task = build_task(setups[0].task)
    if not task.across:
        return {}, [{} for _ in setups]
    each = zip(setups, weights, fitted, strict=True)
    return task.chosen_across([_judged(*one) for one in each])


def _metrics(setup: TrainSetup, table: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    task = build_task(setup.task, setup.plan.frequencies)
    found = task.summarise(table, targets) if len(table) else {}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _judged(setup: TrainSetup, weights: Weights, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `Task.judge` of what a network has not seen, and targets, both in order; where
    baselines answer with it, of the mean."""
    return _asked(setup, _network(setup, weights), fitted)


def _network(setup: TrainSetup, weights: Weights) -> Network:
    network = modality_of(setup.model).build(setup.model, setup.plan)
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def _asked(setup: TrainSetup, network: Network, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    data, plan = open_dataset(setup.objects, setup.data), setup.plan
    task, modality = build_task(setup.task, plan.frequencies), modality_of(setup.model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    indices = data.select(setup.validation or {})
    cases = modality.cases(data, indices, plan, task, setup.settings)
    every = range(len(cases))
    precision: Precision = "fp32" if setup.settings.precision == "fp32" else "bf16"
    rows = modality.judge(network.to(device), cases, every, task, plan, device, precision)
    each = [np.array(list(rows), np.float64).reshape(len(cases), task.columns)]
    each += [
        answers_of(setup.model, plan, fitted[kind], data, indices)
        for kind in modality.blends(plan)
        if kind in fitted
    ]
    targets = task.targets(cases.rows)
    table: np.ndarray = each[0] if len(each) == 1 else np.mean(each, axis=0)
    return table, np.zeros(0) if targets is None else targets.numpy()
