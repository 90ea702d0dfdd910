"""How a model of molecules answers: a row each."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from medray.modalities.ask import ask
from medray.modalities.base import Answering, Asking, Trained
from medray.modalities.molecule.cases import Ends, Molecules, lacks, names_of, packed, read
from medray.modalities.molecule.plan import MoleculePlan
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored

TOGETHER = 512  # molecules that are answered at once, at least
STRETCH = 8192  # rows of a shard that are held, 3 MB packed


class MoleculePredictor(Answering):
    """How a model of molecules answers."""

    columnar = True

    def __init__(self, trained: Trained, asked: Asking) -> None:
        super().__init__(trained, asked)
        self._held: tuple[tuple[str, int], Molecules] = ("", -1), Molecules()

    @property
    def plan(self) -> MoleculePlan:
        """Of the model's training."""
        return cast("MoleculePlan", self.trained.plan)

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

    def of_shard(self, shard: Shard, numbers: np.ndarray) -> np.ndarray:
        """See Predictor; molecules are read by the stretch, of which the last one is held."""
        parts = []
        for stretch in np.unique(numbers // STRETCH).tolist():
            mine = numbers[numbers // STRETCH == stretch]
            if self._held[0] != (shard.path, stretch):
                stop = min((stretch + 1) * STRETCH, shard.table.num_rows)
                self._held = (shard.path, stretch), self._read(shard, stretch * STRETCH, stop)
            parts.append(self._asked(self._held[1].take(mine - stretch * STRETCH)))
        answers = np.concatenate(parts)
        return answers[np.argsort(np.argsort(numbers // STRETCH, kind="stable"), kind="stable")]

    def _read(self, shard: Shard, start: int, stop: int) -> Molecules:
        rows = np.arange(start, stop)
        names = names_of(self.plan.graph, self.plan.widths)
        found = packed({name: read(shard, rows, name) for name in names}, shard.path)
        return found.scaled(self.plan)

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        arrays: dict[str, Ends] = {}
        for name in names_of(self.plan.graph, self.plan.widths):
            each = [np.asarray(sample.arrays[name]) for sample in samples]
            arrays[name] = np.concatenate(each), np.array([len(one) for one in each], np.int64)
        return self._asked(packed(arrays, self.trained.reference).scaled(self.plan))

    def _asked(self, molecules: Molecules) -> np.ndarray:
        trained = self.trained
        inputs = molecules.tree(trained.device)
        return ask(trained.network, inputs, trained.task, self.asked.precision)
