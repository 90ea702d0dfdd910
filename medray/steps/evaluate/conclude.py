"""Conclude an evaluation: all score rows to one summary, and those of baselines beside it."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from medray.engine.training.baseline_scores import called, score_baselines
from medray.engine.training.learnt import overlap
from medray.steps.base.resolved import Resolved
from medray.steps.evaluate.operation import cautions, headline, summarise
from medray.steps.evaluate.spec import EvaluateSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.reader import Shard
from medray.storage.shards.writer import table_of
from medray.storage.store.objects import Objects
from medray.tasks import build_task


def conclude(
    resolved: Resolved[EvaluateSpec], objects: Objects, shards: Sequence[Shard | None]
) -> dict[str, Any]:
    """See medray.steps.base.step.Step."""
    tables = [shard.table for shard in shards if shard]
    cases = pa.concat_tables(tables, promote_options="permissive") if tables else table_of([])
    spec = resolved.step
    summary = summarise(resolved.parameters["task"], cases, repeats=spec.bootstrap, seed=spec.seed)
    predictions, truth = (open_dataset(objects, name) for name in resolved.parents[:2])
    summary["learnt"] = overlap(objects, predictions, truth, cases)
    summary["cautions"] = cautions(summary)
    judged = score_baselines(objects, predictions, truth, cases)
    beside = {kind: headline(one) for kind, one in judged.items()}
    if beside:
        summary["baselines"] = beside
        summary["baseline_curves"] = {kind: one.get("curves", {}) for kind, one in judged.items()}
    metrics = headline(summary) | called(beside, build_task(resolved.parameters["task"]))
    return {"summary": summary, "metrics": metrics}
