"""The samples of a split as a network sees them: normalised, in memory if they fit, else lazily."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medray.data.order import seed_of
from medray.errors import DataError, SpecError
from medray.modalities.image.guide import GUIDE, require_guide
from medray.modalities.image.guide.channels import one_hot
from medray.modalities.image.normalise import (
    ChannelNorm,
    Normaliser,
    image_statistics,
    normaliser,
    stored_statistics,
)
from medray.modalities.image.spatial import grid_ratio
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.sample_array import SampleArray

Box = tuple[slice, ...]

FOREGROUND_VOXELS = 512  # per class and sample: more makes no visible difference to patch centres
SLAB_VOXELS = 2**24
OPEN_ARRAYS = 256  # whose shard indices a thread keeps


class Cases:
    """Images, labels and what patch drawing needs to know of them. Safe to share by threads.

    Args:
        dataset: where they are.
        indices: which samples of it.
        channels: how to normalise, one per channel.
        dims: spatial axes that the network takes.
        spacing_mm: grid of the network; None: every image's own grid.
        classes: of the label; 0 where samples have no label array.
        ignored: labels hold one value more, behind the classes, which is none.
        places: makes classes of stored labels.
        guide: classes of the masks that are further channels; none: there are no such.
        cache_bytes: decoded samples are kept if all of them fit.

    Raises:
        SpecError: there are no samples ("no-samples"), or they have other axes ("dims-mismatch").
        DataError: one has no guide ("no-guide"), or one of other classes ("other-guide").
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        channels: Sequence[ChannelNorm],
        *,
        dims: int,
        spacing_mm: Sequence[float] | None = None,
        classes: int = 0,
        ignored: bool = False,
        places: Callable[[np.ndarray], np.ndarray] = np.asarray,
        guide: tuple[str, ...] = (),
        cache_bytes: int = 0,
    ) -> None:
        if not indices:
            raise SpecError(
                "no samples are selected",
                code="no-samples",
                about=dataset.reference,
                hint="check `select` and the dataset's splits",
            )
        self.dataset, self.indices, self.classes = dataset, list(indices), classes
        self.values = classes + ignored  # that labels may hold
        self.rows: list[dict[str, Any]] = dataset.samples.take(self.indices).to_pylist()
        self._channels, self._spacing, self._places = tuple(channels), spacing_mm, places
        self.channels, self._guide = len(self._channels), guide
        self._local = threading.local()
        self._normalisers: dict[int, Normaliser] = {}
        self._images: dict[int, Tensor] = {}
        self._labels: dict[int, Tensor] = {}
        self._foreground: dict[int, list[np.ndarray]] = {}
        self.shapes: list[tuple[int, ...]] = []
        size = 0
        for case, index in enumerate(self.indices):
            shape = dataset.array(index, "image").shape
            if len(shape) != dims + 1:
                raise SpecError(
                    f"images have {len(shape) - 1} spatial axes, the network takes {dims}",
                    code="dims-mismatch",
                    about=dataset.reference,
                    hint="set the model's dims",
                )
            if guide:
                require_guide(self.id(case), self.rows[case], guide)
            self.shapes.append(shape[1:])
            inputs = shape[0] + max(0, len(guide) - 1)
            size += math.prod(shape[1:]) * (4 * inputs + bool(classes))
        self.cached = size <= cache_bytes

    def __len__(self) -> int:
        return len(self.indices)

    def id(self, case: int) -> str:
        """The sample's id."""
        return str(self.rows[case]["sample_id"])

    def ratio(self, case: int) -> tuple[float, ...]:
        """Stored voxels per voxel of the network's grid, along each axis."""
        stored = self.rows[case].get("spacing_mm")
        return grid_ratio(self._spacing, stored, len(self.shapes[case]))

    def image(self, case: int, box: Box = ()) -> Tensor:
        """The normalised image inside `box` (spatial), and behind its channels those of the guide:
        float32 (C, *box)."""
        if self.cached:
            if case not in self._images:
                self._images[case] = self._read_image(case, ())
            return self._images[case][(slice(None), *box)]
        return self._read_image(case, box)

    def label(self, case: int, box: Box = ()) -> Tensor:
        """Classes inside `box`: (*box,), uint8, or int16 from 256 classes on."""
        if self.cached:
            if case not in self._labels:
                self._labels[case] = self._read_label(case, ())
            return self._labels[case][box]
        return self._read_label(case, box)

    def truth(self, case: int) -> np.ndarray:
        """The label as it is stored, (*space)."""
        return self._array(case, "label")[...]

    def foreground(self, case: int) -> list[np.ndarray]:
        """Of each class from 1 on, up to 512 of its voxels, drawn evenly: (voxels, axes).

        Raises:
            DataError: the label holds a class that the task does not name ("unknown-label").
        """
        if case not in self._foreground:
            self._foreground[case] = self._find_foreground(case)
        return self._foreground[case]

    def normaliser(self, case: int) -> Normaliser:
        """The function that normalises this sample's image, or any part of it."""
        if case not in self._normalisers:
            needed = any(channel.scheme == "zscore" for channel in self._channels)
            blank = [0.0] * len(self._channels)
            found = stored_statistics(self.rows[case], len(blank)) if needed else (blank, blank)
            if found is None:
                found = image_statistics([self._array(case, "image")[...]])
            self._normalisers[case] = normaliser(self._channels, *found)
        return self._normalisers[case]

    def _read_image(self, case: int, box: Box) -> Tensor:
        raw = self._array(case, "image")[(slice(None), *box)]
        image = self.normaliser(case)(raw)
        if self._guide:
            mask = self._array(case, GUIDE)[box]
            image = np.concatenate([image, one_hot(mask, len(self._guide), self.id(case))])
        return torch.from_numpy(image)

    def _read_label(self, case: int, box: Box) -> Tensor:
        raw = self._places(self._array(case, "label")[box])
        return torch.from_numpy(raw.astype(np.uint8 if self.values <= 256 else np.int16))

    def _array(self, case: int, name: str) -> SampleArray:
        # Readers hold the shard's index, so they are kept; they are not shared between threads.
        kept: OrderedDict[tuple[int, str], SampleArray] | None
        kept = getattr(self._local, "arrays", None)
        if kept is None:
            kept = self._local.arrays = OrderedDict()
        key = (case, name)
        if key not in kept:
            kept[key] = self.dataset.array(self.indices[case], name)
            if len(kept) > OPEN_ARRAYS:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]

    def _find_foreground(self, case: int) -> list[np.ndarray]:
        """In slabs, so that a label larger than memory allows is never held whole."""
        shape = self.shapes[case]
        generator = np.random.Generator(np.random.Philox(key=seed_of(case, len(shape))))
        found: list[list[np.ndarray]] = [[] for _ in range(1, self.classes)]
        counts: list[list[int]] = [[] for _ in range(1, self.classes)]
        depth = max(1, SLAB_VOXELS // max(1, math.prod(shape[1:])))
        for start in range(0, shape[0], depth):
            slab = self.label(case, (slice(start, min(start + depth, shape[0])),)).numpy()
            if int(slab.max()) >= self.values:
                raise DataError(
                    f"the label holds class {int(slab.max())} of {self.classes}",
                    code="unknown-label",
                    about=self.id(case),
                    hint="list every class in the task",
                )
            for label in range(1, self.classes):
                flat = np.flatnonzero(slab == label)
                if not flat.size:
                    continue
                pick = generator.integers(0, flat.size, FOREGROUND_VOXELS)
                voxels = np.stack(np.unravel_index(flat[pick], slab.shape), axis=1)
                voxels[:, 0] += start
                found[label - 1].append(voxels.astype(np.int32))
                counts[label - 1].append(flat.size)
        return [
            _mixed(parts, sizes, len(shape), generator)
            for parts, sizes in zip(found, counts, strict=True)
        ]


def _mixed(
    parts: list[np.ndarray], sizes: list[int], axes: int, generator: np.random.Generator
) -> np.ndarray:
    """One draw over slabs, each slab as likely as it has voxels of the class."""
    if not parts:
        return np.zeros((0, axes), np.int32)
    chances = np.asarray(sizes, np.float64) / sum(sizes)
    slabs = generator.choice(len(parts), FOREGROUND_VOXELS, p=chances)
    stacked: np.ndarray = np.stack(parts)[slabs, np.arange(FOREGROUND_VOXELS)]
    return stacked
