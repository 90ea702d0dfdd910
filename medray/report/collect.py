"""Collect: from the results of a job's steps and what stands in storage, to a Report."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medray.clock import SYSTEM, Clock
from medray.report.content import Failure, Overlay, Report, Scores, Step, Training, group_refusals
from medray.report.numbers import metrics_table
from medray.report.page import render
from medray.report.pictures import masks, thumbnails
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.catalog.quarantine import read_refusals
from medray.storage.store.objects import Objects

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
    """Write the page of a job's run to storage, and its numbers beside it.

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
    shown, refusals, trainings, scores, qualities = [], [], [], [], []
    for step in steps:
        name, _, version = step["output"].partition("@")
        if not version:
            shown.append(Step(step["kind"], name, state=step.get("state", "failed")))
            kept = read_refusals(objects, name)  # of a step that the error budget stopped
            if kept is not None:
                refusals += group_refusals(name, kept.to_pylist())
        elif step["kind"] == "train":
            model = open_model(objects, step["output"])
            shown.append(_model_step(step, model))
            trainings.append(_training(model))
        else:
            dataset = open_dataset(objects, step["output"])
            shown.append(_dataset_step(step, dataset))
            refusals += group_refusals(name, dataset.quarantine().to_pylist())
            if step["kind"] == "evaluate" and len(dataset):
                scores.append(_scores(dataset))
            if "qc" in dataset.attributes:
                qualities.append((dataset.name, dataset.attributes["qc"]))
    return Report(
        title=title,
        run=run,
        created=clock.now().strftime("%Y-%m-%d %H:%M UTC"),
        steps=shown,
        refusals=refusals,
        trainings=trainings,
        scores=scores,
        qualities=qualities,
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
    history: list[Mapping[str, float | None]] = []
    if HISTORY in model.files:
        history = json.loads(model.read(HISTORY))
    return Training(model.name, history, _flat(model.config))


def _scores(dataset: Dataset) -> Scores:
    task, summary = dataset.attributes["task"], dataset.attributes["summary"]
    cases = dataset.samples.to_pylist()
    predictions, truth = (open_dataset(dataset.objects, name) for name in dataset.parents[:2])
    classes = task.get("classes") or list(summary["classes"])  # a regression names its values
    pictures: list[Overlay] = []
    if summary["task"] == "segmentation":
        pictures = masks(cases, truth, predictions)
    elif summary["task"] == "classification" and "image" in truth.shards[0].names(0):
        pictures = thumbnails(summary["worst"], truth, classes)
    return Scores(dataset.name, summary, cases, classes, pictures)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names; lists stay together."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and len(value) > 12:
            flat[prefix + key] = f"{len(value)} values"
        elif isinstance(value, float):
            flat[prefix + key] = float(np.format_float_positional(value, 6, fractional=False))
        else:
            flat[prefix + key] = value
    return flat
