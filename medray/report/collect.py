"""Collect: from the results of a job's steps and what stands in storage, to a Report."""

import contextlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.clock import SYSTEM, Clock
from medray.engine.training.examples import read_examples
from medray.engine.training.leak import cautions
from medray.errors import SpecError
from medray.modalities import modality_of
from medray.report.content import Failure, Report, Scores, Step, Training, group_refusals
from medray.report.curves import History
from medray.report.index import write_index
from medray.report.numbers import metrics_table
from medray.report.page import render
from medray.steps.base.step import named
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.catalog.quarantine import read_refusals
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.section import ScoredCases, Section

if TYPE_CHECKING:
    from medray.modalities.base import Modality

HISTORY = "history.json"
_PACKAGES = ("medray", "torch", "ray", "numpy", "zarr", "pyarrow", "pydicom", "nibabel")
_GIB = 2**30


def write_report(
    objects: Objects,
    name: str,
    steps: Sequence[Mapping[str, Any]],
    *,
    run: str = "",
    failure: Failure | None = None,
    clock: Clock = SYSTEM,
) -> str:
    """Write the page of a job's run to storage, its numbers beside it, and the index of all pages.

    Args:
        objects: the storage root.
        name: of the report, and its title.
        steps: results as `medray run --json` prints them, in order; see `collect`.
        run: id of the run.
        failure: what ended it, if it did not come to its end; the last of `steps` is the one.
        clock: stamps the page.

    Returns:
        Path of the page below the root.
    """
    report = collect(objects, name, steps, run=run, failure=failure, clock=clock)
    path = f"reports/{name}/report.html"
    objects.put(path, render(report).encode())
    objects.put(f"reports/{name}/metrics.parquet", metrics_table(report))
    write_index(objects, name, report)
    return path


def collect(
    objects: Objects,
    title: str,
    steps: Sequence[Mapping[str, Any]],
    *,
    run: str = "",
    failure: Failure | None = None,
    clock: Clock = SYSTEM,
) -> Report:
    """Gather what the page shows.

    Args:
        objects: the storage root.
        title: of the page.
        steps: one mapping per step: `kind`, `output` (name@version, or a bare name where the step
            did not finish), and where known `units` (of which `skipped` is shown), `seconds` and
            `state`.
        run: id of the run.
        failure: see `write_report`.
        clock: stamps the page.
    """
    shown, refusals, trainings, scores, sections = [], [], [], [], []
    for step in steps:
        name, _, version = step["output"].partition("@")
        if not version:
            shown.append(Step(step["kind"], name, state=step.get("state", "failed")))
            kept = read_refusals(objects, name)  # of a step that the error budget stopped
            if kept is not None:
                refusals += group_refusals(name, kept.to_pylist())
        elif named(step["kind"]).makes == "models":
            model = open_model(objects, step["output"])
            shown.append(_model_step(step, model))
            trainings.append(_training(model))
            pictures = read_examples(objects, str(step.get("run", "")))
            if pictures:
                sections.append(Section(f"Validation of {name}", pictures=pictures))
        else:
            dataset = open_dataset(objects, step["output"])
            shown.append(_dataset_step(step, dataset))
            refusals += group_refusals(name, dataset.quarantine().to_pylist())
            if {"task", "summary"} <= dataset.attributes.keys() and len(dataset):
                scores.append(_scores(dataset))
            sections += named(step["kind"]).sections(dataset)
    return Report(
        title=title,
        run=run,
        created=clock.now().strftime("%Y-%m-%d %H:%M UTC"),
        steps=shown,
        refusals=refusals,
        trainings=trainings,
        scores=scores,
        sections=sections,
        failure=failure,
        environment=environment(),
    )


def environment() -> dict[str, str]:
    """Where the page was made: versions and size of the machine, nothing that names it."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found["machine"] = f"{platform.machine()}, {cpus} CPUs, {memory:.1f} GiB"
    found["system"] = f"{platform.system()} {platform.release()}"
    return found


def _dataset_step(step: Mapping[str, Any], dataset: Dataset) -> Step:
    return Step(
        kind=step["kind"],
        output=dataset.name,
        version=dataset.version,
        digest=dataset.digest,
        planned=dataset.inputs.planned,
        committed=dataset.inputs.committed,
        quarantined=dataset.inputs.quarantined,
        samples=dataset.manifest.refused.samples,
        passed_over=dataset.inputs.passed_over,
        units=dataset.manifest.units.count,
        reused=(step.get("units") or {}).get("skipped", 0),
        seconds=step.get("seconds", 0.0),
        state=step.get("state", "complete"),
        parents=dataset.parents,
        stages=_stages(dataset),
    )


def _model_step(step: Mapping[str, Any], model: ModelPackage) -> Step:
    return Step(
        kind=step["kind"],
        output=model.name,
        version=model.version,
        digest=model.digest,
        seconds=step.get("seconds", 0.0),
        state=step.get("state", "complete"),
        parents=model.parents,
    )


def _stages(dataset: Dataset) -> dict[str, float]:
    """Seconds of work by stage, over all units, as their commits say."""
    units = dataset.units.column("unit")
    return Ledger(dataset.objects, dataset.name).committed(units).seconds()


def _training(model: ModelPackage) -> Training:
    history: History = []
    if HISTORY in model.files:
        history = json.loads(model.read(HISTORY))
    config = _flat(model.config)
    return Training(
        model.name, history, config, _directions(model, history), cautions(model.config)
    )


def _directions(model: ModelPackage, history: History) -> dict[str, bool]:
    """Of the metrics that the model's task knows: whether higher is better."""
    names = {name for row in history for name in row if name.startswith("val_")}
    if not names:
        return {}
    task, found = build_task(model.config["task"]), {}
    for name in names:
        with contextlib.suppress(SpecError):
            found[name] = task.metric_of(name).higher_is_better
    return found


def _scores(dataset: Dataset) -> Scores:
    from medray.baselines import BASELINES

    task, summary = build_task(dataset.attributes["task"]), dataset.attributes["summary"]
    beside, curves = (
        {BASELINES.get(kind).label: one for kind, one in summary.get(part, {}).items()}
        for part in ("baselines", "baseline_curves")
    )
    scores = ScoredCases(dataset.name, summary, dataset.samples.to_pylist(), beside, curves)
    predictions, truth = (open_dataset(dataset.objects, name) for name in dataset.parents[:2])
    section = task.section(scores)
    modality = _modality(predictions)
    if modality is None:
        section = replace(section, pictures=())
    else:
        section = modality.illustrate(section, task, truth, predictions)
        tables = modality.grouped(task, scores, truth)
        section = replace(section, tables=[*section.tables, *tables])
    return Scores(scores.name, summary, scores.cases, section)


def _modality(predictions: Dataset) -> "Modality | None":
    """Of the model that predicted; None where it is gone."""
    try:
        model = open_model(predictions.objects, str(predictions.attributes.get("model", "")))
    except SpecError:
        return None
    return modality_of(model.config["model"])


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names; lists stay together, those of mappings are counted."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and (
            len(value) > 12 or any(isinstance(one, Mapping) for one in value)
        ):
            flat[prefix + key] = f"{len(value)} values"
        elif isinstance(value, float):
            flat[prefix + key] = float(np.format_float_positional(value, 6, fractional=False))
        else:
            flat[prefix + key] = value
    return flat
