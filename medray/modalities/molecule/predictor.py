"""How a model of molecules answers: a row each."""

from collections import ChainMap
from collections.abc import Sequence
from functools import cached_property, partial
from typing import cast

import numpy as np

from medray.data.tree import Tree
from medray.modalities.ask import ask
from medray.modalities.base import Answering
from medray.modalities.lot import ROWS, Lot, Together
from medray.modalities.molecule.cases import (
    DESCRIPTORS,
    GRAPH,
    Ends,
    lacks,
    names_of,
    packed,
    read,
)
from medray.modalities.molecule.plan import MoleculePlan
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored

TOGETHER = 512  # molecules that are answered at once, at least


class MoleculePredictor(Answering):
    """How a model of molecules answers."""

    @property
    def plan(self) -> MoleculePlan:
        """Of the model's training."""
        return cast("MoleculePlan", self.trained.plan)

    @cached_property
    def _parts(self) -> list[tuple[tuple[str, ...], str]]:
        """What it reads of molecules, each with how that is scaled: who reads the same may share
        what was made of it."""
        graph = [(GRAPH, "")] if self.plan.graph else []
        scales = {DESCRIPTORS: repr(self.plan.descriptors)}
        return [*graph, *(((name,), scales.get(name, "")) for name in self.plan.widths)]

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The row and the arrays that the network reads."""
        there = stored.names
        arrays = {}
        for name in names_of(self.plan.graph, self.plan.widths):
            if name not in there:
                raise lacks(name, stored.id)
            arrays[name] = np.asarray(stored.array(name)[...])
        return Sample(stored.id, dict(stored.row), dict(arrays))

    @property
    def batch(self) -> int:
        """See Predictor: molecules are small."""
        return max(self.asked.batch, TOGETHER)

    @property
    def rows(self) -> int:
        """See Predictor."""
        return ROWS

    def together(self, shard: Shard) -> Together:
        """See Predictor."""
        return "rows"

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor; batches are made once for all models."""
        several = [
            lot.once((*part, self.batch), partial(self._batches, lot, part[0]))
            for part in self._parts
        ]
        made = [self._ask(dict(ChainMap(*trees))) for trees in zip(*several, strict=True)]
        return np.concatenate(made)

    def _batches(self, lot: Lot, names: tuple[str, ...]) -> list[dict[str, Tree]]:
        arrays = {name: read(lot.shard, lot.numbers, name) for name in names}
        molecules = packed(arrays, lot.shard.path).scaled(self.plan)
        device = self.trained.device
        return [molecules.take(rows).tree(device) for rows in lot.parts(self.batch)]

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        arrays: dict[str, Ends] = {}
        for name in names_of(self.plan.graph, self.plan.widths):
            each = [np.asarray(sample.arrays[name]) for sample in samples]
            arrays[name] = np.concatenate(each), np.array([len(one) for one in each], np.int64)
        molecules = packed(arrays, self.trained.reference).scaled(self.plan)
        return self._ask(molecules.tree(self.trained.device))

    def _ask(self, inputs: Tree) -> np.ndarray:
        trained = self.trained
        return ask(trained.network, inputs, trained.task, self.asked.precision)
