"""A network of a learning curve: trained with the labels of its draw, then judged."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from medray.data.order import seed_of
from medray.engine.training.held_out import judged_on, refitted
from medray.engine.training.loop import fit, weights_of
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup, with_vectors
from medray.engine.units.operation import Operation, Unit
from medray.modalities import modality_of
from medray.modalities.plan import Wanted
from medray.spec.training import TrainSettings, Unlabelled
from medray.steps.train.curve.draw import drawn
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task


class Learn(Operation):
    """Trains a network with some labels and judges its last weights, which are not kept.

    Parameters: `data` (reference), `select`, `judge`, `seed`, `task`, `model`, `plan`, `arms`
    (settings by name) and `hides`: those that learn from all selected samples without labels.
    Payload of a unit: `arm`, `share`, `draw`, from 0.
    Output samples: one a network, with these, how many `labels` it saw and samples `unlabelled`,
    its `steps`, and metrics as the task names them.
    """

    name: ClassVar[str] = "learning-curve"
    device: ClassVar[bool] = True

    @cached_property
    def _data(self) -> Dataset:
        return open_dataset(self.objects, self.parameters["data"])

    def load(self, unit: Unit, key: str) -> Iterator[Sample]:
        """What is to be learnt."""
        name = "{arm}-{share:g}-{draw}".format(**unit.payload)
        yield Sample(name, dict(unit.payload))

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """Train, and judge."""
        for sample in samples:
            with tempfile.TemporaryDirectory() as folder:
                found = self._learn(Objects(folder), **sample.row)
            yield Sample(sample.id, {**sample.row, **found})

    def _learn(self, scratch: Objects, arm: str, share: float, draw: int) -> dict[str, Any]:
        asked, data = self.parameters, self._data
        chosen = data.select(asked["select"])
        rows = data.samples.take(chosen).to_pylist()
        task = build_task(asked["task"])
        seen = drawn(rows, task, share, seed=asked["seed"], draw=draw)
        own = [chosen[at] for at in seen]
        setup = self._setup(arm, draw, own, [rows[at]["sample_id"] for at in seen], scratch)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        result = fit(setup, World(device))
        weights = weights_of(setup, result)
        metrics = judged_on(refitted(setup, weights), weights, asked["judge"])
        hidden = len(chosen) if arm in asked["hides"] else 0
        return {"labels": len(seen), "unlabelled": hidden, "steps": result.step, **metrics}

    def _setup(
        self, arm: str, draw: int, own: list[int], names: list[str], scratch: Objects
    ) -> TrainSetup:
        """The training; epochs become one, as nothing is validated and a kill begins it anew."""
        asked, data = self.parameters, self._data
        task = build_task(asked["task"])
        options = {**asked["task"], **task.settled(lambda: self._targets(own))}
        settings = TrainSettings.model_validate(asked["arms"][arm])
        seed = seed_of(settings.seed, draw) % 2**32
        settings = settings.model_copy(update={"seed": seed, "select": "last"})
        modality = modality_of(asked["model"])
        given = modality.PlanOptions.model_validate(asked["plan"])
        device = "cuda" if torch.cuda.is_available() else "cpu"
        wanted = Wanted(asked["model"], settings, given, device)
        plan = modality.plan(data, own, build_task(options), wanted)
        batch = settings.batch_size or plan.batch_size
        steps = settings.epochs * (settings.steps_per_epoch or -(-len(own) // batch))
        once = {"epochs": 1, "steps_per_epoch": steps, "checkpoint_every": None}
        setup = TrainSetup(
            objects=self.objects,
            data=data.reference,
            task=options,
            model=asked["model"],
            plan=plan,
            settings=settings.model_copy(update=once),
            run="runs/network",
            select={"sample_id": names},
            validation={},
            scratch=scratch,
        )
        setup = with_vectors(setup)
        if arm not in asked["hides"]:
            return setup
        return replace(setup, unlabelled=Unlabelled(select=asked["select"]))

    def _targets(self, own: list[int]) -> np.ndarray:
        task = build_task(self.parameters["task"])
        found = task.targets(self._data.samples.take(own).to_pylist())
        return np.zeros(0) if found is None else found.numpy()
