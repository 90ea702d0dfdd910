"""Pictures of validation samples that a page shows beside a training's curves.

They lie with the run, <root>/runs/<run>/examples.json, and not in the package: a model that is
handed on holds no samples.
"""

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medray.storage.store import documents
from medray.storage.store.objects import Objects
from medray.tasks.section import Picture

if TYPE_CHECKING:
    from torch import Tensor

    from medray.data.cases import Cases
    from medray.engine.training.setup import TrainSetup
    from medray.models.base import Network

FILE = "examples.json"


def keep_examples(setup: "TrainSetup", weights: "dict[str, Tensor]") -> None:
    """Draw what the samples' modality has to show of a trained network, and write it down."""
    from medray.engine.training.tensors import load_network
    from medray.modalities import modality_of
    from medray.storage.catalog.datasets import open_dataset
    from medray.tasks import build_task

    modality, task = modality_of(setup.model), build_task(setup.task, setup.plan.frequencies)

    def of() -> "tuple[Network, Cases]":
        network = modality.build(setup.model, setup.plan)
        load_network(network, weights, setup.run)
        data = open_dataset(setup.objects, setup.data)
        held_out = data.select(setup.validation)
        return network.eval(), modality.cases(data, held_out, setup.plan, task, setup.settings)

    drawn = modality.examples(task, setup.plan, of) if setup.validation else []
    if drawn:
        setup.objects.put(f"{setup.run}/{FILE}", _encoded(drawn))


def read_examples(objects: Objects, run: str) -> list[Picture]:
    """Those of a run; none where it has drawn none."""
    try:
        found = documents.read(objects, f"runs/{run}/{FILE}", list[dict[str, Any]], "remove it")
    except FileNotFoundError:
        return []
    return [
        Picture(
            one["title"],
            one["caption"],
            [(case, "") for case in one["cases"]],
            panels=[(caption, base64.b64decode(png)) for caption, png in one["panels"]],
        )
        for one in found
    ]


def _encoded(drawn: Sequence[Picture]) -> bytes:
    return json.dumps(
        [
            {
                "title": one.title,
                "caption": one.caption,
                "cases": [case for case, _ in one.cases],
                "panels": [(name, base64.b64encode(png).decode()) for name, png in one.panels],
            }
            for one in drawn
        ]
    ).encode()
