"""Molecules of a split as a network sees them: packed in memory, drawn batch by batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from medray.data.batch import Batch, Part
from medray.data.held import HeldLoader
from medray.data.tree import Tree, to_device
from medray.errors import DataError, SpecError
from medray.formats.molecules.graph import ATOMS, BOND_FEATURES, BONDS
from medray.modalities.graphs import Bits, Graphs, spans, starts_of
from medray.modalities.molecule.plan import MoleculePlan
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.reader import Shard

MOST = 8.0  # deviations from the mean that a descriptor counts as, at most: some are 10^30
FINGERPRINT, DESCRIPTORS = "fingerprint", "descriptors"
GRAPH = (ATOMS, BONDS, BOND_FEATURES)
Ends = tuple[np.ndarray, np.ndarray]
"""A ragged array of several molecules: values end to end, and the length of each, int64."""


@dataclass(frozen=True)
class Molecules:
    """Molecules end to end, with what stands beside their graphs.

    Args:
        graphs: None where nobody reads them.
        bits: of fingerprints, or None.
        descriptors: float32 (molecules, columns), or None.
    """

    graphs: Graphs | None = None
    bits: Bits | None = None
    descriptors: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Self:
        """Some molecules, in the order of `rows`."""
        return type(self)(
            None if self.graphs is None else self.graphs.take(rows),
            None if self.bits is None else self.bits.take(rows),
            None if self.descriptors is None else self.descriptors[rows],
        )

    def scaled(self, plan: MoleculePlan) -> Self:
        """With descriptors as the network takes them."""
        if self.descriptors is None or plan.descriptors is None:
            return self
        made = plan.descriptors.columns.apply(self.descriptors)
        return replace(self, descriptors=np.nan_to_num(made).clip(-MOST, MOST))

    def tree(self, device: torch.device) -> dict[str, Tree]:
        """As networks take them, see medray.models.molecule.base."""
        arrays = {} if self.graphs is None else self.graphs.batch()
        if self.bits is not None:
            arrays |= {"bits": self.bits.values.astype(np.int64), "counts": self.bits.counts}
        if self.descriptors is not None:
            arrays["descriptors"] = self.descriptors
        return {name: to_device(torch.from_numpy(one), device) for name, one in arrays.items()}


def read(shard: Shard, rows: np.ndarray, name: str) -> Ends:
    """A ragged array of some molecules of a shard, of which all is read between the first and the
    last of them.

    Raises:
        DataError: a sample has no such array (code "model-mismatch").
    """
    about = shard.schema.get(name)
    found = shard.ragged(name) if about is not None and about.ragged else None
    if found is None or not found.has_all(rows):
        raise lacks(name, shard.path)
    first = int(rows.min())
    lengths = found.lengths[first : int(rows.max()) + 1]
    begin, _ = found.span(first)
    values = found.values[begin : begin + int(lengths.sum())]
    inside = rows - first
    if len(rows) == len(lengths) and (np.diff(inside) == 1).all():
        return values, lengths
    return values[spans(starts_of(lengths)[inside], lengths[inside])], lengths[inside]


def names_of(graph: bool, beside: Iterable[str]) -> list[str]:
    """Arrays that are read."""
    return [*(GRAPH if graph else ()), *beside]


def lacks(name: str, about: str) -> DataError:
    """What to raise where a sample has no such array."""
    hints = {
        FINGERPRINT: "ingest with `fingerprint: {}` in `format`",
        DESCRIPTORS: "ingest with `descriptors: true` in `format`",
    }
    return DataError(
        f"a sample has no array {name!r}",
        code="model-mismatch",
        about=about,
        hint=hints.get(name, "this network takes molecules, as the format `smiles` reads them"),
    )


def packed(arrays: Mapping[str, Ends], about: str) -> Molecules:
    """Molecules of ragged arrays.

    Raises:
        DataError: they don't fit together (codes "bad-graph", "model-mismatch").
    """
    graphs = bits = columns = None
    if ATOMS in arrays:
        (atoms, sizes), (bonds, counts), (features, _) = (arrays[name] for name in GRAPH)
        graphs = Graphs.of(atoms, sizes, bonds, counts, features)
    if FINGERPRINT in arrays:
        values, counts = arrays[FINGERPRINT]
        bits = Bits(values.astype(np.int32), counts)
    if DESCRIPTORS in arrays:
        values, lengths = arrays[DESCRIPTORS]
        if len(set(lengths.tolist())) > 1:
            raise DataError("samples differ in descriptors", code="model-mismatch", about=about)
        columns = values.astype(np.float32).reshape(len(lengths), -1)
    return Molecules(graphs, bits, columns)


def gather(
    dataset: Dataset, indices: Sequence[int], graph: bool, beside: Iterable[str]
) -> Molecules:
    """Molecules of a dataset, in the order of `indices`.

    Raises:
        SpecError: no sample is selected (code "no-samples").
        DataError: see `read`.
    """
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    places = dataset.columns(["_shard", "_row"]).take(list(indices))
    shards, rows = (np.asarray(places[name]) for name in ("_shard", "_row"))
    order = np.argsort(shards, kind="stable")
    found: dict[str, list[Ends]] = {name: [] for name in names_of(graph, beside)}
    for number in np.unique(shards):
        mine = rows[order][shards[order] == number]
        for name, parts in found.items():
            parts.append(read(dataset.shards[int(number)], mine, name))
    arrays = {
        name: (np.concatenate([v for v, _ in parts]), np.concatenate([n for _, n in parts]))
        for name, parts in found.items()
    }
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return packed(arrays, dataset.reference).take(back)


class MoleculeCases:
    """Molecules of a dataset, all in memory: about 400 bytes each.

    Args:
        dataset: of molecules.
        indices: which samples of it.
        plan: says what is read.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int], plan: MoleculePlan) -> None:
        self.molecules = gather(dataset, indices, plan.graph, plan.widths).scaled(plan)
        self.rows: list[dict[str, Any]] = dataset.samples.take(list(indices)).to_pylist()

    def __len__(self) -> int:
        return len(self.rows)


class MoleculeLoader(HeldLoader[MoleculeCases]):
    """Batches of molecules, end to end."""

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step; its parts hold whole molecules."""
        samples, _ = self.order.slice_at(step, *self.share)
        parts = np.array_split(samples, min(self.parts, len(samples)))
        return Batch(step, tuple(self._part(some) for some in parts))

    def _part(self, samples: np.ndarray) -> Part:
        tree = self.cases.molecules.take(samples).tree(self.device)
        return Part(tree, to_device(self.targets[samples], self.device))
