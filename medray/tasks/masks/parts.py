"""Connected parts of a label image that passes in slabs: the largest kept, small ones removed.

Which parts belong together over the borders of slabs is known only at the end, so the labels wait
in a temporary file, compressed; memory holds one slab and a few numbers for each part. Parts touch
by faces, edges or corners.
"""

import itertools
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medray.storage.shards.sample_array import SampleArray
from medray.storage.shards.stored import Sliceable

Array = np.ndarray[Any, Any]
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Rule:
    """Which parts stay.

    Args:
        label: whose parts; None: of all labels above 0 taken together.
        largest: only the largest stays; of equal ones the first.
        least: voxels that a part must have.
    """

    label: int | None
    largest: bool
    least: int = 0


def keep_parts(slabs: Iterable[Array], rules: Sequence[Rule]) -> Iterator[Array]:
    """The slabs with all that the rules remove set to 0.

    Args:
        slabs: unsigned integers (depth, *rest), one after another along the first axis.
        rules: one for all labels, or for each label one at most.
    """
    parts = [_Parts(rule) for rule in rules]
    sizes: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []
    with tempfile.TemporaryFile() as waiting:
        for slab in slabs:
            boxes = ndimage.find_objects(slab)
            for one in parts:
                one.add(slab, boxes)
            raw = zlib.compress(np.ascontiguousarray(slab).data, 1)
            waiting.write(raw)
            sizes.append((len(raw), slab.shape, slab.dtype))
        kept = [one.kept() for one in parts]
        waiting.seek(0)
        for number, (size, shape, dtype) in enumerate(sizes):
            raw = zlib.decompress(waiting.read(size))
            slab = np.frombuffer(raw, dtype).reshape(shape)
            boxes = ndimage.find_objects(slab)
            slab = slab.copy()
            for one, stays in zip(parts, kept, strict=True):
                one.remove(number, slab, boxes, stays)
            yield slab


@dataclass
class _Parts:
    """The parts of one rule, slab by slab: how large, and which of neighbouring slabs touch."""

    rule: Rule
    sizes: list[Array] = field(default_factory=list)
    first: list[int] = field(default_factory=lambda: [0])  # number of each slab's first part
    touching: list[Array] = field(default_factory=list)
    last: Array | None = None  # numbers from 1 in the last plane, 0 where there is none

    def add(self, slab: Array, boxes: list[Box | None]) -> None:
        parts, count, box = self._found(slab, boxes)
        base = self.first[-1]
        self.first.append(base + count)
        first = np.zeros(slab.shape[1:], np.int64)
        last = first.copy()
        if count:
            self.sizes.append(np.bincount(parts.ravel(), minlength=count + 1)[1:])
            for plane, at, edge in (
                (first, 0, box[0].start),
                (last, -1, slab.shape[0] - box[0].stop),
            ):
                if edge == 0:
                    plane[box[1:]] = np.where(parts[at] > 0, parts[at].astype(np.int64) + base, 0)
        if self.last is not None and first.any() and self.last.any():
            self.touching.append(_pairs(self.last, first))
        self.last = last

    def kept(self) -> Array:
        """Whether each part stays, by its number from 0."""
        total = self.first[-1]
        if not total:
            return np.zeros(0, bool)
        pairs = np.concatenate([np.zeros((0, 2), np.int64), *self.touching]) - 1
        joined = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (total, total))
        _, whole = connected_components(joined, directed=False)
        sizes = np.bincount(whole, weights=np.concatenate(self.sizes))
        stays = sizes >= max(self.rule.least, 1)
        if self.rule.largest:
            stays &= np.arange(len(sizes)) == sizes.argmax()
        result: Array = stays[whole]
        return result

    def remove(self, number: int, slab: Array, boxes: list[Box | None], stays: Array) -> None:
        own = stays[self.first[number] : self.first[number + 1]]
        if not own.all():
            parts, _, box = self._found(slab, boxes)
            slab[box][np.concatenate([[False], ~own])[parts]] = 0

    def _found(self, slab: Array, boxes: list[Box | None]) -> tuple[Array, int, Box]:
        """Numbered parts inside of the box that holds them all, how many, and the box."""
        whole = tuple(slice(0, n) for n in slab.shape)
        label = self.rule.label
        there = [one for one in (boxes if label is None else boxes[label - 1 : label]) if one]
        if not there:
            return np.zeros(0, np.int32), 0, whole
        box = tuple(
            slice(min(one[axis].start for one in there), max(one[axis].stop for one in there))
            for axis in range(slab.ndim)
        )
        inside = slab[box]
        mask = inside > 0 if label is None else inside == label
        parts, count = ndimage.label(mask, np.ones((3,) * slab.ndim))
        return parts, int(count), box


def _pairs(one: Array, two: Array) -> Array:
    """Numbers that touch between two planes, (pairs, 2), each pair once."""
    found = []
    for step in itertools.product((-1, 0, 1), repeat=one.ndim):
        here = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(step, one.shape, strict=True))
        there = tuple(
            slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, one.shape, strict=True)
        )
        a, b = one[here].ravel(), two[there].ravel()
        both = (a > 0) & (b > 0)
        found.append(np.unique(np.stack([a[both], b[both]], 1), axis=0))
    return np.unique(np.concatenate(found), axis=0)


def most_probable(probability: Sliceable) -> np.ndarray:
    """Labels (*space) of probabilities (classes, *space), slab by slab; ties go to the first."""
    label = np.empty(probability.shape[1:], np.uint8)
    step = probability.chunk[1] if isinstance(probability, SampleArray) else len(label)
    for start in range(0, len(label), step):
        label[start : start + step] = probability[:, start : start + step].argmax(0)
    return label
