"""How a model of pairs answers: a row each."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from medray.errors import DataError
from medray.formats.molecules.graph import ATOMS
from medray.formats.molecules.residues import RESIDUES
from medray.formats.pairs.options import ARRAYS, COMPOUND
from medray.modalities.ask import ask
from medray.modalities.base import Answering
from medray.modalities.lot import Lot, Together
from medray.modalities.pair.cases import Pairs, of_shards, packed
from medray.modalities.pair.plan import PairPlan
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored

ROWS = 2**15  # of a shard that are answered at once


class PairPredictor(Answering):
    """How a model of pairs answers."""

    @property
    def rows(self) -> int:
        """See Predictor: pairs are small, and a protein is read once for all of them."""
        return ROWS

    def together(self, shard: Shard) -> Together:
        """See Predictor: most pairs lack arrays, which lie with other rows of the shard."""
        return "rows"

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The row, the compound's graph and the protein's residues."""
        there = stored.names
        for name in ARRAYS:
            if name not in there:
                raise DataError(
                    f"a sample has no array {name!r}",
                    code="model-mismatch",
                    about=stored.id,
                    hint="this network takes pairs, as the format `pairs` reads them",
                )
        arrays = {name: np.asarray(stored.array(name)[...]) for name in ARRAYS}
        if not len(arrays[COMPOUND[ATOMS]]) or not len(arrays[RESIDUES]):
            raise DataError(
                "half of the pair lies with another row of its shard",
                code="lacks-half-a-pair",
                about=stored.id,
            )
        return Sample(stored.id, dict(stored.row), dict(arrays))

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor."""
        return self._asked(of_shards([(lot.shard, lot.numbers)]))

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering; what has the same arrays is the same."""
        known: tuple[dict[bytes, int], dict[bytes, int]] = {}, {}
        numbers = np.zeros((2, len(samples)), np.int64)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
        for at, sample in enumerate(samples):
            own = {name: np.asarray(sample.arrays[name]) for name in ARRAYS}
            for side, names in enumerate((COMPOUND.values(), (RESIDUES,))):
                key = b"".join(len(own[n]).to_bytes(8) + own[n].tobytes() for n in names)
                if key not in known[side]:
                    known[side][key] = len(known[side])
                    for name in names:
                        parts[name].append(own[name])
                numbers[side, at] = known[side][key]
        ends = {
            name: (np.concatenate(several), np.array([len(one) for one in several], np.int64))
            for name, several in parts.items()
        }
        return self._asked(packed(ends, ends[RESIDUES], *numbers))

    def _asked(self, pairs: Pairs) -> np.ndarray:
        trained, plan = self.trained, cast("PairPlan", self.trained.plan)
        return pairs.answered(
            lambda some: ask(
                trained.network,
                some.tree(plan.residues, trained.device),
                trained.task,
                self.asked.precision,
            )
        )
