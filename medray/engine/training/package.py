"""From a finished training to a model package."""

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from medray.baselines.base import Baseline
from medray.baselines.stored import encode, file_of
from medray.engine.training.baseline_scores import fit_baselines, validate_baselines
from medray.engine.training.examples import keep_examples
from medray.engine.training.held_out import (
    chosen_across,
    chosen_alone,
    of_members,
    refitted,
    validate_blend,
)
from medray.engine.training.initial import told
from medray.engine.training.learnt import learnt
from medray.engine.training.loop import TrainResult, weights_of
from medray.engine.training.objectives import models_of
from medray.engine.training.setup import TrainSetup
from medray.modalities import kept, modality_of
from medray.modalities.learnt import FILE
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import ModelPackage, save_model
from medray.tasks import build_task
from medray.tasks.base import Task


def save_trained(
    setup: TrainSetup,
    result: TrainResult,
    name: str,
    *,
    spec: str,
    parents: list[str] | None = None,
) -> ModelPackage:
    """Commit the weights that a training chose as a model.

    The package's config holds `model` and `task`, options with `name`, and `plan`, and how it was
    `initialised` by another model, if it was; history.json the
    loss curve, a row per step. Seconds are left out of it: equal trainings make equal packages.

    Args:
        setup: of the training.
        result: of the training.
        name: of the model.
        spec: hash of the resolved training step.
        parents: besides the data and the model it was initialised from.
    """
    weights = weights_of(setup, result)
    setup = refitted(setup, weights)
    keep_examples(setup, weights)
    beside, metrics = _baselines(setup, weights)
    found = {**result.metrics, **metrics}
    task = setup.task | chosen_alone(setup, weights, beside, found)
    config: dict[str, Any] = {
        "model": setup.model,
        "task": task,
        "plan": setup.plan.model_dump(mode="json"),
        **told(setup.beginning, weights),
        **_shared([setup]),
        **_unlabelled(setup),
    }
    return save_model(
        setup.objects,
        name,
        weights=save(weights),
        config=config,
        metrics={"steps": result.step, "stopped": result.stopped, **result.metrics, **metrics},
        parents=[*_origins(setup), *(parents or [])],
        spec=spec,
        card=_card(name, setup, task, {**result.metrics, **metrics}),
        extra={
            "history.json": _history(result),
            FILE: learnt([setup]),
            **_kept([setup]),
            **_encoded([beside]),
        },
    )


def save_folds(
    made: Sequence[tuple[Any, TrainSetup, TrainResult]], name: str, *, column: str, spec: str
) -> ModelPackage:
    """Commit networks of all folds, or several of the same samples, as one model; see
    medray.modalities.folds.

    The package's config holds `model`, `task` and `folds`: the column, and `value` and `plan` of
    each member, whose weights have its number before their names; `task` of a member are options
    that are its own. Metrics are means over the folds, or those of the mean of networks of the same
    samples; history.json is the first one's.

    Args:
        made: value of the column, setup and result of each fold; else a number in its place.
        name: of the model.
        column: whose values part the folds; "": the networks learnt from the same samples.
        spec: hash of the resolved training step.
    """
    each_weights = [weights_of(setup, result) for _, setup, result in made]
    weights = {
        f"{at}.{key}": tensor for at, own in enumerate(each_weights) for key, tensor in own.items()
    }
    setups = [refitted(one, own) for (_, one, _), own in zip(made, each_weights, strict=True)]
    setup, first = setups[0], made[0][2]
    fitted = [fit_baselines(one) for one in (setups if column else setups[:1])]
    fitted = fitted if column else fitted * len(made)
    pairs = zip(setups, each_weights, fitted, strict=True)
    beside = [_validated(*one) for one in pairs]
    if column:
        chosen, own_chosen = chosen_across(setups, each_weights, fitted)
    else:
        together, chosen = of_members(setups, each_weights, fitted)
        own_chosen = [{}] * len(made)
    task = setup.task | chosen
    members: list[dict[str, Any]] = [
        {"value": value, "plan": one.plan.model_dump(mode="json"), **({"task": own} if own else {})}
        for (value, _, _), one, own in zip(made, setups, own_chosen, strict=True)
    ]
    each = [{**one.metrics, **more} for (_, _, one), more in zip(made, beside, strict=True)]
    shared = [metric for metric in each[0] if all(metric in one for one in each)]
    metrics = {metric: fmean(one[metric] for one in each) for metric in shared}
    if not column:
        metrics |= together
    return save_model(
        setup.objects,
        name,
        weights=save(weights),
        config={
            "model": setup.model,
            "task": task,
            "folds": {"column": column, "members": members},
            **told(setup.beginning, each_weights[0]),
            **_shared(setups),
            **_unlabelled(setup),
        },
        metrics={
            "folds" if column else "members": len(made),
            "steps": sum(result.step for _, _, result in made),
            **metrics,
        },
        parents=_origins(setup),
        spec=spec,
        card=_card(name, setup, task, metrics),
        extra={
            "history.json": _history(first),
            FILE: learnt(setups),
            **_kept(setups),
            **_encoded(fitted),
        },
    )


def _shared(setups: Sequence[TrainSetup]) -> dict[str, Any]:
    """Who is in both parts of a training that was forced; of folds, the most of each."""
    found: dict[str, int] = {}
    for setup in setups:
        for column, count in setup.shared.items():
            found[column] = max(count, found.get(column, 0))
    return {"shared": found} if found else {}


def _unlabelled(setup: TrainSetup) -> dict[str, Any]:
    """Samples that were learnt from without targets, and how many of them with theirs as well."""
    wanted = setup.unlabelled
    if wanted is None:
        return {}
    names = [
        set(data.columns(["sample_id"])["sample_id"].take(data.select(where)).to_pylist())
        for data, where in (
            (open_dataset(setup.objects, setup.data), setup.select),
            (open_dataset(setup.objects, wanted.data or setup.data), wanted.select),
        )
    ]
    both = len(names[0] & names[1])
    return {"unlabelled": {"data": wanted.data, "samples": len(names[1]), "labelled_too": both}}


def _kept(setups: Sequence[TrainSetup]) -> dict[str, bytes]:
    """What the modality keeps of samples that the networks learnt from, each once."""
    first = setups[0]
    data = open_dataset(first.objects, first.data)
    each = [data.select(one.select) for one in setups]
    every = np.unique(np.concatenate(each))
    some = every[np.linspace(0, len(every) - 1, min(len(every), kept.MOST)).astype(int)]
    arrays = modality_of(first.model).keeps(data, some.tolist(), first.plan)
    members = np.stack([np.isin(some, one) for one in each])
    return {kept.FILE: kept.encode(arrays, members)} if arrays else {}


def _baselines(
    setup: TrainSetup, weights: dict[str, Tensor]
) -> tuple[dict[str, Baseline], dict[str, float]]:
    """What stands beside the network, and what the validation says of it, and of both together."""
    fitted = fit_baselines(setup)
    return fitted, _validated(setup, weights, fitted)


def _validated(
    setup: TrainSetup, weights: dict[str, Tensor], fitted: Mapping[str, Baseline]
) -> dict[str, float]:
    blend = validate_blend(setup, weights, fitted)
    return {**validate_baselines(setup, fitted), **blend}


def _encoded(members: Sequence[Mapping[str, Baseline]]) -> dict[str, bytes]:
    """Baselines that every network has beside it, a file of each kind."""
    return {
        file_of(kind): encode([one[kind] for one in members])
        for kind in members[0]
        if all(kind in one for one in members)
    }


def _history(result: TrainResult) -> bytes:
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in result.rows]
    return json.dumps(rows).encode()


def _origins(setup: TrainSetup) -> list[str]:
    settings = setup.settings
    first = [settings.first_model] if settings.first_model else []
    more = setup.unlabelled and setup.unlabelled.data
    others = [more] if more and more != setup.data else []
    return [setup.data, *others, *first, *(model for _, model in models_of(settings.objective))]


def _task(options: dict[str, Any], setup: TrainSetup) -> Task:
    return build_task(options, setup.plan.frequencies)


def _told(found: dict[str, Any] | None) -> list[str]:
    """Of samples without targets, a line of the card."""
    if found is None:
        return []
    too = f", {found['labelled_too']} of them with theirs too" if found["labelled_too"] else ""
    return [f"- and without targets from: `{found['data']}`, {found['samples']} samples{too}"]


def _card(name: str, setup: TrainSetup, task: dict[str, Any], metrics: dict[str, float]) -> str:
    """A model card after Mitchell et al. 2019: what it is, what it learnt from, how good it was."""
    plan, settings = setup.plan, setup.settings
    lines = [
        f"# {name}",
        "",
        f"{setup.model['name']}, {setup.task['name']}: {', '.join(plan.classes)}.",
        "",
        f"- learnt from: `{setup.data}`, {plan.samples} samples, {setup.select}",
        *_told(_unlabelled(setup).get("unlabelled")),
        f"- validated on: {setup.validation or 'nothing'}",
        *(f"- {line}" for line in modality_of(setup.model).describe(plan)),
        *(f"- {line}" for line in _task(task, setup).describe()),
        f"- steps of {setup.batch_size} samples, {settings.precision}",
        "",
        "| metric | value |",
        "|---|---|",
        *(f"| {metric} | {value:.4f} |" for metric, value in sorted(metrics.items())),
        "",
        "Not a medical device. Judge it on data of your own site before its results are relied on.",
    ]
    return "\n".join(lines) + "\n"
