"""Figures of cases for a page: what was answered for each base, over what is there."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import InShard, Stored
from medray.tasks.base import NO_LABEL, Task, whole
from medray.tasks.section import Figure, Picture

POINTS = 600  # of a curve; a longer sequence is drawn by stretches of bases
CLASSES = 3  # in one figure


def tracks(
    wanted: Sequence[Picture], task: Task, truth: Dataset, predictions: Dataset
) -> list[Figure]:
    """A figure of each case that a task asks for.

    Args:
        wanted: which cases, and what is said of them.
        task: of bases; its first class is not drawn, nor more than three others.
        truth: with labels.
        predictions: with probabilities of classes.
    """
    if not wanted:
        return []
    places, answered = (
        {name: at for at, name in enumerate(data.samples["sample_id"].to_pylist())}
        for data in (truth, predictions)
    )
    return [
        _track(picture, task, _stored(truth, places[case]), _stored(predictions, answered[case]))
        for picture in wanted
        for case, _ in picture.cases
    ]


def _track(picture: Picture, task: Task, truth: Stored, prediction: Stored) -> Figure:
    labels = np.asarray(truth.array("label")[...])
    probability = whole(task.given(prediction), "probability")
    # Of a stretch the highest is shown: what is rare stays to be seen.
    starts = np.unique(np.linspace(0, len(labels), POINTS, endpoint=False).astype(int))
    base = (starts + 1).tolist()
    told = np.maximum.reduceat(labels != NO_LABEL, starts)
    lines: dict[str, tuple[list[Any], list[Any]]] = {}
    for index, name in list(enumerate(task.classes))[1 : CLASSES + 1]:
        there = np.maximum.reduceat(labels == index, starts).astype(float)
        lines[f"{name}, truth"] = (base, np.where(told, there, np.nan).tolist())
        lines[name] = (base, np.maximum.reduceat(probability[index], starts).tolist())
    case = picture.cases[0][0]
    title = f"{picture.title}: {case}, {picture.caption}"
    return Figure("line", title, {"label": "base", "lines": lines})


def _stored(dataset: Dataset, at: int) -> Stored:
    shard, row = dataset.place(at)
    return InShard(dataset.shards[shard], row)
