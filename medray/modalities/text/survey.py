"""What a training looks at of texts before it begins: words, letters, and how much there is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medray.errors import DataError, SpecError
from medray.modalities.plan import Wanted
from medray.modalities.text.generated import references, writing
from medray.modalities.text.grams import families, rarity
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.readings import READINGS
from medray.modalities.text.tokens import vocabulary
from medray.models import MODELS
from medray.models.text.base import TextNetwork
from medray.storage.catalog.datasets import Dataset
from medray.tasks.base import Task


def survey(dataset: Dataset, indices: Sequence[int], task: Task, wanted: Wanted) -> dict[str, Any]:
    """Fields of a plan that the training texts decide.

    Args:
        dataset: of documents.
        indices: those to learn from.
        task: that is learnt.
        wanted: by the job.

    Raises:
        SpecError: no sample is selected ("no-samples"), or the task is none of texts, or none of
            those that the job's plan is for ("task-mismatch").
        DataError: a sample has no text ("no-text"), or nothing that can be learnt.
    """
    given, kind = wanted.given, MODELS.get(wanted.model["name"])
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    if task.answers not in READINGS:
        raise SpecError(
            "texts have no such places to answer for", code="task-mismatch", about=task.name
        )
    if given.spoken and task.answers not in ("extract", "generated"):
        raise SpecError(
            f"only summaries are written anew; {task.name} keeps to the words of the text",
            code="task-mismatch",
            about="plan.spoken",
            hint="leave it out of the training",
        )
    reads = tuple(sorted(kind.reads)) if issubclass(kind, TextNetwork) else ()
    if given.opening and not (task.answers == "sample" and "grams" in reads):
        raise SpecError(
            f"{wanted.model['name']} reads no n-grams of texts as a whole",
            code="task-mismatch",
            about="plan.opening",
            hint="leave it out of the training, or take a network that reads them: ngram-linear",
        )
    rows = dataset.samples.take(list(indices)).to_pylist()
    texts = [row.get(given.column) for row in rows]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"a sample has no text in the column {given.column!r}",
            code="no-text",
            about=dataset.reference,
            hint="name another column in `plan: column`, or leave such samples out by `select`",
        )
    words, letters = vocabulary(texts, given.least, spoken=given.spoken)
    found: dict[str, Any] = {
        "column": given.column,
        "words": words,
        "letters": letters,
        "longest": given.longest,
        "between": given.between,
        "alike": given.alike,
        "phrase": given.phrase,
        "opening": given.opening,
        "spoken": given.spoken,
        "reads": reads,
    }
    if task.answers == "generated":
        found["writes"] = writing(references(rows, task), given.least)
    if task.answers == "sample":  # what classical models beside a network read, too
        rare = rarity(families(text, given.opening) for text in texts)
        found["rarity"] = tuple(round(float(one), 4) for one in rare)
    targets = task.targets(rows)
    if targets is not None:
        return {**found, "frequencies": task.statistics(targets.numpy())}
    plan = TextPlan(
        **found, answers=task.answers, classes=task.classes, batch_size=1, frequencies=(), samples=1
    )
    reading = READINGS[task.answers](plan, task)
    sizes = [reading.size(reading.encode(row, learnt=False)) for row in rows]
    return {**found, "frequencies": task.statistics(np.array(sizes))}
