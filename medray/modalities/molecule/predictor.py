"""How a model of molecules answers: a row each."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from medray.modalities.ask import ask
from medray.modalities.base import Answering
from medray.modalities.molecule.cases import Ends, lacks, names_of, packed
from medray.modalities.molecule.plan import MoleculePlan
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored


class MoleculePredictor(Answering):
    """How a model of molecules answers."""

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

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        arrays: dict[str, Ends] = {}
        for name in names_of(self.plan.graph, self.plan.widths):
            each = [np.asarray(sample.arrays[name]) for sample in samples]
            arrays[name] = np.concatenate(each), np.array([len(one) for one in each], np.int64)
        molecules = packed(arrays, self.trained.reference).scaled(self.plan)
        trained = self.trained
        inputs = molecules.tree(trained.device)
        return ask(trained.network, inputs, trained.task, self.asked.precision)
