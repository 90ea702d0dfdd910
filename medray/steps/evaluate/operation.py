"""Evaluate: the truth, paired with predictions, to score rows; and all rows to one summary."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from medray.engine.units.operation import Operation, Unit
from medray.errors import DataError
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InShard
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.metrics.bootstrap import LEAST_SUBJECTS, Bootstrap, about

GIVEN = "prediction/"  # before the names of its arrays


class Evaluate(Operation):
    """Scores cases. It goes over the truth, so a case without a prediction is scored as worst.

    Parameters: `task`, its options with `name`, as the model was trained for.
    Payload of a unit: `shard`, `rows`, `paired` (see medray.steps.base.planned).
    Output samples: one per score row, with `case` (the id in the truth), `subject` and `record`
    where the truth knows them, and the task's columns.
    """

    name: ClassVar[str] = "evaluate"

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        self.task = build_task(parameters["task"])
        # A unit reads one shard of truth and few of predictions, in order.
        self._shard = lru_cache(maxsize=8)(
            lambda *pinned: Shard(objects, Pinned(*pinned), in_order=True)
        )

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """The truth, with the prediction's row as `prediction` and its arrays behind `GIVEN`."""
        at = unit.inputs.index(key)
        stored = InShard(self._shard(*unit.payload["shard"]), unit.payload["rows"][at])
        arrays: dict[str, Any] = {
            name: np.asarray(stored.array(name)[...])
            for name in self.task.wants(truth=True)
            if name in stored.names
        }
        truth = Sample(stored.id, {**stored.row, "prediction": None}, arrays)
        paired = unit.payload["paired"][at]
        if paired is not None:
            shard = self._shard(*unit.payload["beside"][paired[0]])
            prediction = self.task.given(InShard(shard, paired[1]))
            truth.row["prediction"] = prediction.row
            truth.arrays.update({GIVEN + name: one for name, one in prediction.arrays.items()})
        yield truth

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """Score rows of each case, in the order of the classes."""
        for sample in samples:
            truth = Sample(sample.id, dict(sample.row))
            given = Sample(sample.id, truth.row.pop("prediction") or {})
            for name, array in sample.arrays.items():
                owner = given if name.startswith(GIVEN) else truth
                owner.arrays[name.removeprefix(GIVEN)] = array
            prediction = None if sample.row["prediction"] is None else given
            scored = self.task.score(truth, prediction)
            for number, scores in enumerate(scored):
                own = truth.id if len(scored) == 1 else f"{truth.id}:{number + 1}"
                yield Sample(own, {**about(truth.id, truth.row), **scores})


def summarise(
    task: dict[str, Any], cases: pa.Table, *, repeats: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The task's summary of all score rows, with intervals.

    Args:
        task: its options with `name`.
        cases: samples of a dataset that `Evaluate` made.
        repeats: bootstrap resamples; 0 leaves the intervals out.
        seed: of the resampling.

    Raises:
        DataError: there is no row (code "nothing-scored").
    """
    if not cases.num_rows:
        raise DataError(
            "no case could be scored",
            code="nothing-scored",
            hint="look at the quarantine of this step",
        )
    return build_task(task).conclude(cases, Bootstrap(repeats=repeats, seed=seed))


def headline(summary: dict[str, Any]) -> dict[str, float]:
    """The plain value of each overall metric that is defined, as `--json` prints them."""
    return {
        name: estimate["value"]
        for name, estimate in summary["metrics"].items()
        if estimate["value"] is not None
    }


def cautions(summary: dict[str, Any]) -> list[str]:
    """What a reader of scores has to know before the scores, a sentence each; those of the task
    stand first."""
    said = list(summary.get("cautions", ()))
    seen = summary.get("learnt") or {}
    cases, subjects = seen.get("samples", 0), seen.get("subjects", 0)
    if cases or subjects:
        if not cases:
            told = f"{subjects} of the {seen['cases']} cases that are scored are of subjects"
        else:
            others = f", and {subjects} more are of subjects" if subjects else ""
            told = f"{cases} of the {seen['cases']} cases that are scored are cases{others}"
        said.append(
            f"{told} that the model learnt from: such scores do not say how it does on new ones"
        )
    few = {
        one["subjects"]
        for one in summary["metrics"].values()
        if one["value"] is not None and one["subjects"] < LEAST_SUBJECTS
    }
    if few:
        count = f"{max(few)} subject" + ("s" if max(few) != 1 else "")
        said.append(f"no interval: {count}, and it takes {LEAST_SUBJECTS}")
    return said
