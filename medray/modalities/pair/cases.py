"""Pairs of a split as a network sees them: each compound and each protein in memory once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from medray.data.batch import Batch, Part
from medray.data.dealt import Dealt
from medray.data.held import HeldLoader
from medray.data.order import Order, permutation
from medray.data.tree import Tree, map_tree, to_device
from medray.errors import DataError, SpecError
from medray.formats.molecules.graph import ATOMS, BOND_FEATURES, BONDS
from medray.formats.molecules.residues import FIRST, RESIDUES
from medray.formats.pairs.options import COMPOUND, SEQUENCE_ID
from medray.modalities.graphs import Graphs, spans, starts_of
from medray.models.pair.base import PAD
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.reader import Shard

CANONICAL = "canonical"
WINDOW = 16  # steps whose pairs are dealt out by their proteins
PROTEINS, ROWS = 64, 4096  # that go through a network at once, where nothing is learnt
Ends = tuple[np.ndarray, np.ndarray]
"""A ragged array of several: values end to end, and the length of each, int64."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of compounds and proteins.

    Args:
        graphs: of the compounds.
        residues: uint8, letters of one protein after the other.
        lengths: int64 (proteins,), residues of each.
        compound: int64 (pairs,), number of each one's compound.
        protein: int64 (pairs,), number of each one's protein.
    """

    graphs: Graphs
    residues: np.ndarray
    lengths: np.ndarray
    compound: np.ndarray
    protein: np.ndarray

    def __len__(self) -> int:
        return len(self.compound)

    def take(self, rows: np.ndarray) -> Self:
        """Some pairs, in the order of `rows`, and no compound or protein that none of them has."""
        compounds, compound = np.unique(self.compound[rows], return_inverse=True)
        proteins, protein = np.unique(self.protein[rows], return_inverse=True)
        lengths = self.lengths[proteins]
        residues = self.residues[spans(starts_of(self.lengths)[proteins], lengths)]
        return type(self)(self.graphs.take(compounds), residues, lengths, compound, protein)

    def tree(self, most: int, device: torch.device) -> Tree:
        """As networks take them, see medray.models.pair.base.

        Args:
            most: residues of a protein that are read.
            device: where it goes.
        """
        lengths = np.minimum(self.lengths, most)
        along = np.arange(max(1, int(lengths.max(initial=0))))
        there = along < lengths[:, None]
        at = np.where(there, starts_of(self.lengths)[:, None] + along, 0)
        letters = np.where(there, self.residues[at] - (FIRST - 1), PAD).astype(np.uint8)
        arrays = {"residues": letters, "compound": self.compound, "protein": self.protein}
        graphs: dict[str, Tree] = {
            name: torch.from_numpy(one) for name, one in self.graphs.batch().items()
        }
        tree: dict[str, Tree] = {name: torch.from_numpy(one) for name, one in arrays.items()}
        return map_tree(lambda one: to_device(one, device), {**tree, "compounds": graphs})

    def answered(self, answers: Callable[[Self], np.ndarray]) -> np.ndarray:
        """What is made of all pairs, (pairs, …), in portions that have few proteins each, of like
        lengths.

        Args:
            answers: of some of them.
        """
        order = np.lexsort((self.protein, self.lengths[self.protein]))
        proteins = self.protein[order]
        number = np.cumsum(np.r_[False, proteins[1:] != proteins[:-1]])
        cuts = np.flatnonzero(np.diff(number // PROTEINS)) + 1
        made = [
            answers(self.take(some))
            for part in np.split(order, cuts)
            for some in np.split(part, range(ROWS, len(part), ROWS))
        ]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return np.concatenate(made)[back]


class _Side:
    """Compounds or proteins of pairs, each once, as they are found in shards.

    Args:
        column: whose equal values are one.
        arrays: that it has, ragged; the first is nowhere empty but where another row has it.
    """

    def __init__(self, column: str, arrays: Sequence[str]) -> None:
        self.column = column
        self._known: dict[str, int] = {}
        self._parts: dict[str, list[np.ndarray]] = {name: [] for name in arrays}

    def numbers(self, shard: Shard, rows: np.ndarray) -> np.ndarray:
        """Those of some rows of a shard, int64.

        Raises:
            DataError: the shard lacks what a row names (code "lacks-half-a-pair").
        """
        names = shard.columns([self.column])[self.column].combine_chunks().dictionary_encode()
        codes = names.indices.to_numpy(zero_copy_only=False)
        found = {name: shard.ragged(name) for name in self._parts}
        first = next(iter(found.values()))
        holders = np.flatnonzero(first.lengths)[::-1]
        holder = np.full(len(names.dictionary), -1)
        holder[codes[holders]] = holders
        wanted = np.unique(codes[rows])
        texts = names.dictionary.take(pa.array(wanted)).to_pylist()
        new = [int(holder[code]) for code, text in zip(wanted, texts, strict=True)
               if text not in self._known]  # fmt: skip
        if min(new, default=0) < 0:
            raise DataError(
                f"a row's {self.column} is with no row of its shard",
                code="lacks-half-a-pair",
                about=shard.path,
                hint="leave pairs out by `select`, not by a transformation",
            )
        for name, part in self._parts.items():
            part += found[name].take(new)
        number = np.full(len(holder), -1)
        number[wanted] = [self._known.setdefault(text, len(self._known)) for text in texts]
        of_rows: np.ndarray = number[codes[rows]]
        return of_rows

    def ends(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """An array of all, end to end, and the length of each."""
        parts = self._parts[name]
        return np.concatenate(parts), np.array([len(one) for one in parts], np.int64)


def of_shards(several: Sequence[tuple[Shard, np.ndarray]]) -> Pairs:
    """Pairs of some rows of each of several shards, one behind the other.

    Raises:
        DataError: see `_Side.numbers`; or a graph is none (code "bad-graph").
    """
    graph = [COMPOUND[name] for name in (ATOMS, BONDS, BOND_FEATURES)]
    compounds, proteins = _Side(CANONICAL, graph), _Side(SEQUENCE_ID, [RESIDUES])
    numbers = [[side.numbers(*one) for one in several] for side in (compounds, proteins)]
    return packed(
        {name: compounds.ends(name) for name in graph},
        proteins.ends(RESIDUES),
        np.concatenate(numbers[0]),
        np.concatenate(numbers[1]),
    )


def packed(
    compounds: Mapping[str, Ends], residues: Ends, compound: np.ndarray, protein: np.ndarray
) -> Pairs:
    """Pairs of compounds and proteins whose arrays lie end to end.

    Raises:
        DataError: a graph is none (code "bad-graph").
    """
    (atoms, sizes), (bonds, counts), (features, _) = (
        compounds[COMPOUND[name]] for name in (ATOMS, BONDS, BOND_FEATURES)
    )
    graphs = Graphs.of(atoms, sizes, bonds, counts, features)
    return Pairs(graphs, *residues, compound, protein)


def gather(dataset: Dataset, indices: Sequence[int]) -> Pairs:
    """Pairs of a dataset, in the order of `indices`.

    Raises:
        SpecError: no sample is selected (code "no-samples").
        DataError: see `of_shards`.
    """
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    places = dataset.columns(["_shard", "_row"]).take(pa.array(list(indices)))
    shards, rows = (np.asarray(places[name]) for name in ("_shard", "_row"))
    order = np.argsort(shards, kind="stable")
    found = of_shards(
        [
            (dataset.shards[int(number)], rows[order][shards[order] == number])
            for number in np.unique(shards)
        ]
    )
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return replace(found, compound=found.compound[back], protein=found.protein[back])


class PairCases:
    """Pairs of a dataset, in memory: 16 bytes each, beside their compounds and proteins.

    Args:
        dataset: of pairs.
        indices: which samples of it.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.pairs = gather(dataset, indices)
        self.rows: list[dict[str, Any]] = dataset.samples.take(list(indices)).to_pylist()

    def __len__(self) -> int:
        return len(self.rows)


class PairLoader(HeldLoader[PairCases]):
    """Batches of pairs that have few proteins each, which costs a fraction of many.

    Args:
        cases: the training samples.
        order: of them.
        targets: one per case.
        residues: of a protein that are read.
        options: of a HeldLoader.
    """

    def __init__(
        self, cases: PairCases, order: Order, targets: Tensor, residues: int, **options: Any
    ) -> None:
        rank = permutation(order.seed, 0, len(cases.pairs.lengths))
        by = rank[cases.pairs.protein]
        dealt = Dealt(order.samples, order.batch, order.seed, by, WINDOW)
        super().__init__(cases, dealt, targets, **options)
        self._residues = residues

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step; its parts hold whole pairs."""
        samples, _ = self.order.slice_at(step, *self.share)
        parts = np.array_split(samples, min(self.parts, len(samples)))
        return Batch(step, tuple(self._part(some) for some in parts))

    def _part(self, samples: np.ndarray) -> Part:
        tree = self.cases.pairs.take(samples).tree(self._residues, self.device)
        return Part(tree, to_device(self.targets[samples], self.device))
