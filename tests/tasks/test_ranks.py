"""Tasks of rows on two ranks: the same losses and weights as on one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medray.engine.training.loop import fit, weights_of
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.modalities import modality_of
from medray.modalities.plan import Wanted
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from tests.engine.training.several import launch

MLP = {"name": "mlp", "hidden": [8], "dropout": 0.0}  # which ranks draw each for itself
TARNET = {"name": "tarnet", "hidden": [8], "heads": [4], "dropout": 0.0}
EFFECT = {"name": "treatment-effect", "outcome": "y", "treatment": "treated"}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "risk": ({"name": "risk", "target": "event"}, MLP),
    "hazard": ({"name": "survival", "intervals": 4}, MLP),
    "causes": ({"name": "survival", "event": "cause", "events": ["a", "b"]}, MLP),
    "cox": ({"name": "survival", "loss": "cox"}, MLP),
    "effect": (EFFECT, TARNET),
    "dropouts": ({**EFFECT, "outcome": "lost", "dropouts": "weigh", "balanced": True}, TARNET),
}
SETTINGS = TrainSettings(
    epochs=4, steps_per_epoch=1, batch_size=7, augment=None,
    optimiser=OptimiserSettings(name="sgd", lr=1e-2),
)  # fmt: skip


def people() -> list[Sample]:
    chance, made = np.random.default_rng(0), []
    for number in range(30):
        features = chance.normal(size=6).astype(np.float32)
        treated = int(features[1] + chance.normal() > 0)
        outcome = float(features[0] + treated * features[2])
        row = {
            "event": number % 3 and 1, "cause": number % 3, "time": float(np.exp(features[0])),
            "treated": treated, "y": outcome, "lost": None if number % 4 == 0 else outcome,
        }  # fmt: skip
        made.append(Sample(f"s{number}", row, {"features": features}))
    return made


def setup_of(name: str, data: Dataset) -> TrainSetup:
    task, model = KINDS[name]
    modality = modality_of(model)
    wanted = Wanted(model, SETTINGS, modality.PlanOptions())
    plan = modality.plan(data, range(len(data)), build_task(task), wanted)
    return TrainSetup(
        data.objects, data.reference, task, model, plan, SETTINGS, f"runs/{name}-both",
        select={}, validation={},
    )  # fmt: skip


def test_two_ranks_lose_as_one(
    make_dataset: Callable[[str, list[Sample]], Dataset], tmp_path: Path
) -> None:
    """Seven samples a step: four and three."""
    data = make_dataset("people", people())
    setups = {name: setup_of(name, data) for name in KINDS}
    assert launch(*setups.values(), size=2, folder=tmp_path) == [0, 0]
    for name, both in setups.items():
        alone = replace(both, run=f"runs/{name}-alone")
        one, other = fit(alone, World()), fit(both, World())
        losses = [[row["loss"] for row in found.rows] for found in (one, other)]
        assert len(set(losses[0])) == SETTINGS.epochs, name
        assert losses[1] == pytest.approx(losses[0], abs=1e-6), name
        here, there = weights_of(both, other), weights_of(alone, one)
        assert all(torch.allclose(here[k], there[k], rtol=0, atol=1e-6) for k in there), name
