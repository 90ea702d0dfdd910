"""Texts on two ranks: the same losses as on one, whatever each rank's texts are filled up to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.engine.training.loop import fit
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.modalities.plan import Wanted
from medray.modalities.text import Texts
from medray.modalities.text.plan import TextPlanOptions
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from tests.documents import documents
from tests.engine.training.several import launch

DRY = {"dropout": 0.0, "unknown": 0.0, "embedding": 8}  # which ranks draw each for itself
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ner": (
        {"name": "ner", "types": ["DRUG"]}, {"name": "bilstm-crf", "hidden": 8, **DRY},
    ),
    "relations": (
        {"name": "relations", "types": ["RAISES"]}, {"name": "relation-cnn", "filters": 8, **DRY},
    ),
    "wide relations": (
        {"name": "relations", "types": ["RAISES"]},
        {"name": "relation-wide-deep", "filters": 8, "stages": 2, "wide_dropout": 0.0, **DRY},
    ),
    "summary": ({"name": "summary"}, {"name": "word-selector", "hidden": 8, **DRY}),
    "abstractive": (
        {"name": "abstractive-summary"}, {"name": "pointer-generator", "hidden": 8, **DRY},
    ),
}  # fmt: skip


def curve(setup: TrainSetup) -> list[float]:
    return [row["loss"] for row in fit(setup, World()).rows]


def test_two_ranks_lose_as_one(
    make_dataset: Callable[[str, list[Sample]], Dataset], tmp_path: Path
) -> None:
    data = make_dataset("texts", documents(30))
    settings = TrainSettings(epochs=3, steps_per_epoch=1, batch_size=7, augment=None)
    setups = {}
    for name, (task, model) in KINDS.items():
        wanted = Wanted(model, settings, TextPlanOptions())
        plan = Texts().plan(data, range(30), build_task(task), wanted)
        setups[name] = TrainSetup(
            data.objects, data.reference, task, model, plan, settings, f"runs/{name}-both",
            select={}, validation={},
        )  # fmt: skip
    assert launch(*setups.values(), size=2, folder=tmp_path) == [0, 0]
    for name, setup in setups.items():
        alone = curve(replace(setup, run=f"runs/{name}-alone"))
        assert len(set(alone)) == 3
        np.testing.assert_allclose(curve(setup), alone, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", KINDS)
def test_parts_of_a_batch_are_the_batch(
    name: str, make_dataset: Callable[[str, list[Sample]], Dataset]
) -> None:
    data = make_dataset("texts", documents(30))
    task, model = KINDS[name]
    made = []
    for parts in (1, 3):
        settings = TrainSettings(
            epochs=2, steps_per_epoch=1, batch_size=7, augment=None, accumulate=parts
        )
        wanted = Wanted(model, settings, TextPlanOptions())
        plan = Texts().plan(data, range(30), build_task(task), wanted)
        setup = TrainSetup(
            data.objects, data.reference, task, model, plan, settings, f"runs/{parts}",
            select={}, validation={},
        )  # fmt: skip
        made.append(curve(setup))
    np.testing.assert_allclose(made[0], made[1], rtol=0, atol=1e-5)
