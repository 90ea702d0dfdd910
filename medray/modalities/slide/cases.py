"""Slides as a network sees them: some tiles of each in a step of training, all of them else."""

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medray.data.batch import Batch, Part
from medray.data.held import HeldLoader
from medray.data.tree import to_device
from medray.errors import SpecError
from medray.formats.slide.arrays import sound
from medray.modalities.slide.plan import SlideAugment, SlidePlan
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import Sliceable

OPEN_ARRAYS = 256  # whose shard indices a thread keeps


def standardised(tiles: np.ndarray, plan: SlidePlan) -> np.ndarray:
    """Tiles uint8 (N, 3, side, side) as float32 of mean 0 and deviation 1 in each colour."""
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (plan.mean, plan.std))
    made: np.ndarray = tiles.astype(np.float32)
    made -= mean
    made /= std
    return made


def taken(tiles: Sliceable, numbers: np.ndarray) -> np.ndarray:
    """Some tiles, uint8 (some, 3, side, side); those that follow one another by one read.

    Args:
        tiles: of a slide.
        numbers: rising, int64 (some,).
    """
    if isinstance(tiles, np.ndarray):
        whole: np.ndarray = tiles[numbers]
        return whole
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    runs = pairwise([0, *breaks.tolist(), len(numbers)])
    parts = [tiles[int(numbers[a]) : int(numbers[b - 1]) + 1] for a, b in runs if b > a]
    return np.concatenate(parts)


def along(
    tiles: Sliceable, numbers: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All of these tiles in order, `size` at a time, with their numbers."""
    for start in range(0, len(numbers), size):
        some = numbers[start : start + size]
        yield some, taken(tiles, some)


class SlideCases:
    """Slides of a split. Safe to share by threads.

    Args:
        dataset: where they are.
        indices: which samples of it.
        cache_bytes: tiles are kept in memory if all of them fit.

    Raises:
        SpecError: there are no samples (code "no-samples").
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int], cache_bytes: int) -> None:
        if not indices:
            raise SpecError(
                "no samples are selected",
                code="no-samples",
                about=dataset.reference,
                hint="check `select` and the dataset's splits",
            )
        self._dataset, self._indices = dataset, list(indices)
        self.rows: list[dict[str, Any]] = dataset.samples.take(self._indices).to_pylist()
        self._local = threading.local()
        self._held: dict[int, np.ndarray] = {}
        size = sum(math.prod(dataset.array(index, "tiles").shape) for index in self._indices)
        self._fits = size <= cache_bytes
        self._sound = [sound(row.get("damaged"), int(row["tiles"])) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sound(self, case: int) -> np.ndarray:
        """Numbers of the tiles of a slide that could be read."""
        return self._sound[case]

    def tiles(self, case: int) -> Sliceable:
        """Of a slide, uint8 (tiles, 3, side, side), to be sliced."""
        if not self._fits:
            return self._array(case)
        if case not in self._held:
            self._held[case] = self._array(case)[...]
        return self._held[case]

    def _array(self, case: int) -> Sliceable:
        # Readers hold the shard's index, so they are kept; they are not shared between threads.
        kept: OrderedDict[int, Sliceable] | None = getattr(self._local, "arrays", None)
        if kept is None:
            kept = self._local.arrays = OrderedDict()
        if case not in kept:
            kept[case] = self._dataset.array(self._indices[case], "tiles")
            if len(kept) > OPEN_ARRAYS:
                kept.popitem(last=False)
        kept.move_to_end(case)
        found: Sliceable = kept[case]
        return found


class SlideLoader(HeldLoader[SlideCases]):
    """Batches of slides: of each as many tiles as the plan says, drawn by the seed of its place.

    Args:
        plan: of the training.
        augment: how tiles are changed; None: not at all.
    """

    plan: SlidePlan
    augment: SlideAugment | None

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step."""
        samples, seeds = self.order.slice_at(step, *self.share)
        parts = min(self.parts, len(samples))
        pairs = zip(np.array_split(samples, parts), np.array_split(seeds, parts), strict=True)
        return Batch(step, tuple(self._part(some, drawn) for some, drawn in pairs))

    def _part(self, samples: np.ndarray, seeds: np.ndarray) -> Part:
        bags = [self._drawn(*pair) for pair in zip(samples.tolist(), seeds.tolist(), strict=True)]
        tiles = torch.from_numpy(np.concatenate(bags))
        counts = torch.tensor([len(bag) for bag in bags])
        inputs = {"tiles": to_device(tiles, self.device), "counts": to_device(counts, self.device)}
        return Part(inputs, to_device(self.targets[samples], self.device))

    def _drawn(self, case: int, seed: int) -> np.ndarray:
        chance = np.random.Generator(np.random.Philox(key=seed))
        numbers = self.cases.sound(case)
        if len(numbers) > self.plan.most_tiles:
            numbers = np.sort(chance.choice(numbers, self.plan.most_tiles, replace=False))
        made = standardised(taken(self.cases.tiles(case), numbers), self.plan)
        return made if self.augment is None else changed(made, self.augment, self.plan, chance)


def changed(
    tiles: np.ndarray, augment: SlideAugment, plan: SlidePlan, chance: np.random.Generator
) -> np.ndarray:
    """Tiles of a slide, standardised, changed at random.

    A factor of a colour is one of its raw values: standardised, x becomes f x + (f - 1) mean / std.
    """
    if augment.turn:
        turns = chance.integers(0, 8, len(tiles))
        for at, turn in enumerate(turns.tolist()):
            tile = np.rot90(tiles[at], turn % 4, (1, 2))
            tiles[at] = tile[:, :, ::-1] if turn >= 4 else tile
    if augment.colour:
        factor = 1 + augment.colour * chance.uniform(-1, 1, 3)
        shift = (factor - 1) * np.array(plan.mean) / np.array(plan.std)
        tiles *= factor.astype(np.float32)[:, None, None]
        tiles += shift.astype(np.float32)[:, None, None]
    return tiles


def as_input(tiles: Tensor, plan: SlidePlan) -> Tensor:
    """Stored tiles as `embed` takes them, where they are: as `standardised` does."""
    mean, std = (
        torch.tensor(one, device=tiles.device)[:, None, None] for one in (plan.mean, plan.std)
    )
    return tiles.float().sub_(mean).div_(std)
