"""Conclude a transform: what the plugin says of all that it made."""

from collections.abc import Sequence
from typing import Any

from medray.steps.base.resolved import Resolved
from medray.steps.transform.operation import transformation
from medray.steps.transform.spec import TransformSpec
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.reader import Shard
from medray.storage.store.objects import Objects


def conclude(
    resolved: Resolved[TransformSpec], objects: Objects, shards: Sequence[Shard | None]
) -> dict[str, Any]:
    """See medray.steps.base.step.Step."""
    data = open_dataset(objects, resolved.parameters["data"])
    made = transformation(resolved.parameters, objects)
    return made.conclude([shard for shard in shards if shard], data)
