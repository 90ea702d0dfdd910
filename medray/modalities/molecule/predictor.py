"""How a model of molecules answers: a row each."""

from collections import ChainMap
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, cast

import numpy as np

from medray.data.tree import Tree
from medray.errors import SpecError
from medray.formats.molecules.draw import MOST as ATOMS
from medray.modalities.ask import ask
from medray.modalities.base import Answering, Asking, Trained
from medray.modalities.lot import ROWS, Lot, Together
from medray.modalities.molecule.cases import (
    DESCRIPTORS,
    GRAPH,
    Ends,
    Molecules,
    lacks,
    names_of,
    packed,
    read,
)
from medray.modalities.molecule.design import design_of
from medray.modalities.molecule.explain import explain, explains
from medray.modalities.molecule.plan import ATTRIBUTIONS, NEAREST, MoleculePlan
from medray.modalities.molecule.similarity import BITS, bits_of, nearest
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored

# Molecules that are answered at once, at least: states of 128 numbers for each of their bonds stay
# in a core's cache (at 512 a network of bonds takes half as long again); a GPU has to be filled.
TOGETHER = {"cpu": 128, "cuda": 4096}


class MoleculePredictor(Answering):
    """How a model of molecules answers. Behind an answer there may stand, if it is asked so, the
    similarity of the nearest compound that it learnt from, and attributions of ATOMS atoms, NaN
    where there are fewer; so that of several networks all of it is averaged, of what they call
    together.

    Raises:
        SpecError: the model keeps no compounds that it learnt from (code "nothing-kept"), or its
            network can't be explained ("no-attributions").
    """

    def __init__(self, trained: Trained, asked: Asking) -> None:
        super().__init__(trained, asked)
        self._blend = [trained.baseline(kind) for kind in self.plan.blend]
        self._known: np.ndarray | None = None
        if asked.options.nearest:
            self._known = trained.kept().get(BITS)
            if self._known is None:
                raise SpecError(
                    "the model does not know what it learnt from",
                    code="nothing-kept",
                    about=trained.reference,
                    hint="train it again, or ask without `nearest`",
                )
        if asked.options.attributions and not explains(trained.network):
            raise SpecError(
                "the network reads no atoms", code="no-attributions", about=trained.reference
            )

    @property
    def plan(self) -> MoleculePlan:
        """Of the model's training."""
        return cast("MoleculePlan", self.trained.plan)

    @cached_property
    def _parts(self) -> list[tuple[tuple[str, ...], str]]:
        """What the network reads of molecules, each with how that is scaled: who reads the same may
        share what was made of it."""
        graph = [(GRAPH, "")] if self.plan.graph else []
        scales = {DESCRIPTORS: repr(self.plan.descriptors)}
        return [*graph, *(((name,), scales.get(name, "")) for name in self.plan.widths)]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Arrays that are read, by whomever."""
        plan = self.plan
        described = [DESCRIPTORS] if self._blend and plan.described else []
        graph = plan.graph or bool(self._blend) or self._known is not None
        return tuple(names_of(graph, dict.fromkeys([*plan.widths, *described])))

    def columns_of(self, answer: np.ndarray) -> dict[str, Any]:
        """See Predictor."""
        options, row = self.asked.options, super().columns_of(answer[: len(self.plan.classes)])
        if options.attributions:
            answer, atoms = answer[:-ATOMS], answer[-ATOMS:]
            row[ATTRIBUTIONS] = atoms[~np.isnan(atoms)].tolist() or None
        if options.nearest:
            row[NEAREST] = float(answer[-1])
        return row

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The row and the arrays that are read."""
        there = stored.names
        arrays = {}
        for name in self._names:
            if name not in there:
                raise lacks(name, stored.id)
            arrays[name] = np.asarray(stored.array(name)[...])
        return Sample(stored.id, dict(stored.row), dict(arrays))

    @property
    def batch(self) -> int:
        """See Predictor: molecules are small."""
        return max(self.asked.batch, TOGETHER[self.trained.device.type])

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
        return self._blended(np.concatenate(made), partial(self._stored, lot))

    def behind_in_shard(self, lot: Lot, answers: np.ndarray) -> np.ndarray:
        """See Answering."""
        return self._behind(answers, partial(self._stored, lot))

    def _stored(self, lot: Lot) -> Molecules:
        """All that is read of a lot, once for all models that read the same."""
        return lot.once(self._names, partial(self._read, lot, self._names))

    def _read(self, lot: Lot, names: tuple[str, ...]) -> Molecules:
        return packed({name: read(lot.shard, lot.numbers, name) for name in names}, lot.shard.path)

    def _batches(self, lot: Lot, names: tuple[str, ...]) -> list[dict[str, Tree]]:
        molecules, device = self._read(lot, names).scaled(self.plan), self.trained.device
        return [molecules.take(rows).tree(device) for rows in lot.parts(self.batch)]

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        molecules = self._packed(samples)
        answers = self._ask(dict(molecules.scaled(self.plan).tree(self.trained.device)))
        return self._blended(answers, lambda: molecules)

    def behind(self, samples: Sequence[Sample], answers: np.ndarray) -> np.ndarray:
        """See Answering."""
        return self._behind(answers, partial(self._packed, samples))

    def _packed(self, samples: Sequence[Sample]) -> Molecules:
        arrays: dict[str, Ends] = {}
        for name in self._names:
            each = [np.asarray(sample.arrays[name]) for sample in samples]
            arrays[name] = np.concatenate(each), np.array([len(one) for one in each], np.int64)
        return packed(arrays, self.trained.reference)

    def _ask(self, inputs: Tree) -> np.ndarray:
        trained = self.trained
        return ask(trained.network, inputs, trained.task, self.asked.precision)

    def _blended(self, answers: np.ndarray, stored: Callable[[], Molecules]) -> np.ndarray:
        """Answers of all that answer.

        Args:
            answers: of the network, (molecules, classes).
            stored: gives the molecules, not scaled.
        """
        if not self._blend:
            return answers
        columns = design_of(stored(), self.plan.described)
        each = np.stack([answers, *(one.answers(columns) for one in self._blend)])
        mean: np.ndarray = each.mean(0, dtype=np.float32)
        return mean

    def _behind(self, answers: np.ndarray, stored: Callable[[], Molecules]) -> np.ndarray:
        """What is asked for beside answers; arguments as of `_blended`."""
        parts = [np.zeros((len(answers), 0), np.float32)]
        if self._known is not None:
            graphs = stored().graphs
            parts += [] if graphs is None else [nearest(bits_of(graphs), self._known)[:, None]]
        if self.asked.options.attributions:
            parts.append(self._attributions(stored().scaled(self.plan), answers))
        return np.concatenate(parts, axis=1)

    def _attributions(self, molecules: Molecules, answers: np.ndarray) -> np.ndarray:
        """Of the first ATOMS atoms, float32 (molecules, ATOMS); of larger ones all are NaN."""
        made = np.full((len(answers), ATOMS), np.nan, np.float32)
        values = [_explained(super(MoleculePredictor, self).columns_of(one)) for one in answers]
        for start in range(0, len(made), self.batch):
            some = np.arange(start, min(len(made), start + self.batch))
            found = explain(self.trained, molecules.take(some), [values[at] for at in some])
            for at, atoms in zip(some.tolist(), found.atoms, strict=True):
                if len(atoms) <= ATOMS:
                    made[at, : len(atoms)] = atoms
        return made


def _explained(row: dict[str, Any]) -> int:
    """Which value of an answer is explained: of two classes the second, of more the likeliest, of
    several values the first."""
    told = row.get("probability") or [1.0]
    return 1 if len(told) == 2 else int(np.argmax(told))
