"""What the training samples are like: sizes, spacings, intensities, class balance.

Sizes and spacings stand in tables and metadata; voxels are read, by dask over the samples, only
where a number is wanted that ingest did not write down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from dask.base import compute
from dask.delayed import delayed

from medray.data.order import seed_of
from medray.errors import DataError, SpecError
from medray.modalities.image.options import ImagePlanOptions
from medray.storage.catalog.datasets import Dataset
from medray.tasks.base import Task
from medray.tasks.objects import ObjectTask

INTENSITY_SAMPLES = 500  # images whose voxels are drawn for data-set-wide intensities
INTENSITY_VOXELS = 10_000  # drawn of each


@dataclass(frozen=True)
class Fingerprint:
    """What a plan is made of.

    Args:
        channels: of every image.
        shapes: spatial, one per sample.
        spacings: millimetres per axis, one per sample; None where unknown.
        frequencies: share of each class, in voxels or, for whole images, in samples.
        modality: of all samples, as in DICOM ("CT", "MR"); empty if unknown or mixed.
        intensities: per channel (0.5th percentile, 99.5th, mean, deviation) over foreground voxels
            of the data set; empty unless the scheme needs them.
    """

    channels: int
    shapes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...] | None, ...]
    frequencies: tuple[float, ...]
    modality: str = ""
    intensities: tuple[tuple[float, float, float, float], ...] = ()


def fingerprint(
    dataset: Dataset,
    indices: Sequence[int],
    task: Task,
    *,
    given: ImagePlanOptions | None = None,
    threads: int = 2,
) -> Fingerprint:
    """Look at the samples `indices` of a dataset.

    Args:
        dataset: where they are.
        indices: the training samples: no other must have a say in the plan.
        task: names the classes, and the normalisation if the job does.
        threads: that read.

    Raises:
        SpecError: there are none (code "no-samples").
        DataError: images differ in their channels ("channel-mismatch"), or a label holds a class
            that the task does not name ("unknown-label").
        SpecError: the data name labels otherwise than the task ("label-names", "ignored-label").
    """
    _check_names(dataset, task)
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    rows: list[dict[str, Any]] = dataset.samples.take(list(indices)).to_pylist()
    shapes = [dataset.array(index, "image").shape for index in indices]
    channels = {shape[0] for shape in shapes}
    if len(channels) > 1:
        raise DataError(
            f"images have {', '.join(map(str, sorted(channels)))} channels",
            code="channel-mismatch",
            about=dataset.reference,
            hint="select samples of one kind",
        )
    modalities = {str(row.get("modality") or "") for row in rows}
    modality = modalities.pop() if len(modalities) == 1 else ""
    given = given or ImagePlanOptions()
    scheme = given.normalise or ("ct" if modality == "CT" else "zscore")
    intensities: tuple[tuple[float, float, float, float], ...] = ()
    if scheme in ("ct", "dataset") and given.channels is None:
        intensities = _intensities(dataset, indices, channels.pop(), task, threads)
    return Fingerprint(
        channels=shapes[0][0],
        shapes=tuple(shape[1:] for shape in shapes),
        spacings=tuple(tuple(row["spacing_mm"]) if row.get("spacing_mm") else None for row in rows),
        frequencies=_frequencies(dataset, indices, rows, task, threads),
        modality=modality,
        intensities=intensities,
    )


def _check_names(dataset: Dataset, task: Task) -> None:
    """Classes that the data name must have the numbers that the task gives them."""
    labels = dataset.attributes.get("labels")
    if task.answers != "place" or task.numbered or not isinstance(labels, dict):
        return
    count = len(task.classes)
    if "ignore" in labels and not (task.ignored and labels["ignore"] == count):
        raise SpecError(
            f"the data's label `ignore` is {labels['ignore']}, which must take no part",
            code="ignored-label",
            about=dataset.reference,
            hint="set the task's `ignore: true`, and list all classes before it",
        )
    for number, name in enumerate(task.classes):
        named = labels.get(name, number)
        if named != number:
            of = f"labels {named}" if isinstance(named, list) else f"label {named}"
            raise SpecError(
                f"the task's class {number} is {name!r}, which in the data is {of}",
                code="label-names",
                about=dataset.reference,
                hint="list the labels' names in the order of their numbers; regions are no classes",
            )


def _frequencies(
    dataset: Dataset,
    indices: Sequence[int],
    rows: Sequence[dict[str, Any]],
    task: Task,
    threads: int,
) -> tuple[float, ...]:
    classes = len(task.classes)
    targets = task.targets(rows)
    if targets is not None:
        return task.statistics(targets.numpy())
    if task.answers == "restored":
        return (1.0,)
    if task.answers == "objects":
        axes = len(dataset.array(indices[0], "image").shape) - 1
        kinds = [cast("ObjectTask", task).boxes(row, axes)[:, -2] for row in rows]
        return task.statistics(np.concatenate(kinds).astype(np.int64))
    counts = [None if task.numbered else row.get("label_voxels") for row in rows]
    missing = [at for at, count in enumerate(counts) if not count]
    read = [delayed(_count)(dataset, indices[at], task) for at in missing]
    for at, count in zip(missing, _compute(read, threads), strict=True):
        counts[at] = count
    total = np.zeros(classes)
    for row, count in zip(rows, counts, strict=True):
        voxels = count or []
        if any(voxels[classes + task.ignored :]):
            raise DataError(
                f"the label holds class {len(voxels) - 1} of {classes}",
                code="unknown-label",
                about=str(row["sample_id"]),
                hint="list every class in the task",
            )
        total[: len(voxels[:classes])] += voxels[:classes]
    return tuple(float(share) for share in total / max(total.sum(), 1))


def _count(dataset: Dataset, index: int, task: Task) -> list[int]:
    label = task.places(dataset.array(index, "label")[...])
    counts: list[int] = np.bincount(label.ravel(), minlength=len(task.classes)).tolist()
    return counts


def _intensities(
    dataset: Dataset, indices: Sequence[int], channels: int, task: Task, threads: int
) -> tuple[tuple[float, float, float, float], ...]:
    step = max(1, len(indices) // INTENSITY_SAMPLES)
    tasks = [delayed(_draw)(dataset, index, task) for index in list(indices)[::step]]
    drawn = np.concatenate(_compute(tasks, threads), axis=1).astype(np.float64)
    if not drawn.shape[1]:
        raise DataError(
            "no image has foreground voxels",
            code="no-foreground",
            about=dataset.reference,
            hint="give `plan: {normalise: zscore}`",
        )
    return tuple(
        (
            float(np.percentile(drawn[channel], 0.5)),
            float(np.percentile(drawn[channel], 99.5)),
            float(drawn[channel].mean()),
            float(drawn[channel].std()),
        )
        for channel in range(channels)
    )


def _draw(dataset: Dataset, index: int, task: Task) -> np.ndarray:
    """Up to 10,000 voxels of an image, of its foreground if it has labels: (channels, voxels)."""
    image = dataset.array(index, "image")[...]
    flat = image.reshape(image.shape[0], -1)
    if task.answers == "place":
        label = dataset.array(index, "label")[...].ravel()
        known = label < len(task.classes) if task.ignored else True
        flat = flat[:, (label > 0) & known]
    if flat.shape[1] <= INTENSITY_VOXELS:
        return flat
    generator = np.random.Generator(np.random.Philox(key=seed_of(index)))
    return flat[:, generator.integers(0, flat.shape[1], INTENSITY_VOXELS)]


def _compute(tasks: list[Any], threads: int) -> list[Any]:
    if not tasks:
        return []
    computed: tuple[Any, ...]
    computed = compute(*tasks, scheduler="threads", num_workers=threads)  # type: ignore[no-untyped-call]
    return list(computed)
