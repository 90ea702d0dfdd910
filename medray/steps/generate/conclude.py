"""Conclude a generation: what all samples say together, held against what was learnt."""

from collections.abc import Sequence
from typing import Any

from medray.engine.training.learnt import samples_learnt
from medray.modalities import read_plan
from medray.modalities.loaded import load_trained
from medray.steps.base.resolved import Resolved
from medray.steps.generate.operation import model_of
from medray.steps.generate.resolve import generation_of
from medray.steps.generate.spec import GenerateSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.reader import Shard
from medray.storage.store.objects import Objects
from medray.tasks import build_task


def conclude(
    resolved: Resolved[GenerateSpec], objects: Objects, shards: Sequence[Shard | None]
) -> dict[str, Any]:
    """See medray.steps.base.step.Step."""
    model = open_model(objects, resolved.parameters["model"])
    data = open_dataset(objects, model.parents[0])
    drawn = [shard for shard in shards if shard]
    plan, task = read_plan(model.config["plan"]), build_task(model.config["task"])
    learnt, features = samples_learnt(model, data), resolved.step.features
    return generation_of(model).appraise(
        drawn,
        plan,
        task,
        data,
        learnt,
        resolved.step.seed,
        None if features is None else model_of(load_trained(objects, features)),
    )
