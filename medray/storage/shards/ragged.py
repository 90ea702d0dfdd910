"""Arrays whose samples differ along their first axis: boxes, tokens, graphs.

All samples' values lie in one array, end to end, and one array `offsets`, int64 (names, rows + 1),
says where: row i of the k-th name, sorted, is values[offsets[k, i] : offsets[k, i + 1]]. So a unit
of two such arrays makes eight objects, however many samples it has, and plain Zarr libraries read
them. Where a sample lacks an array that another has, an array `absent`, bool (names, rows), tells
that from an empty one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from medray.errors import SpecError
from medray.faults import point
from medray.storage.shards.array_reader import ArrayReader
from medray.storage.shards.samples import Slabs
from medray.storage.shards.schema import Arrays, ArraySpec, undeclared
from medray.storage.store.damage import damage

OFFSETS, ABSENT = "offsets", "absent"
CHUNK_BYTES = 64 * 2**10  # of values: what a random sample costs
CHUNK_ROWS = 2**17  # of offsets
SLAB_BYTES = 32 * 2**20
MOST_BYTES = 2**30  # of a unit, which waits for the unit's end in memory

Put = Callable[..., None]
"""Takes an array: its name, values, chunk and names of axes, and `packing` where not fast."""


class _Stretch(NamedTuple):
    """Values of samples that follow one another: the first's number, and each one's length."""

    first: int
    values: np.ndarray
    lengths: np.ndarray

    def until(self, rows: int) -> "_Stretch":
        """Without the samples from number `rows` on."""
        lengths = self.lengths[: rows - self.first]
        return _Stretch(self.first, self.values[: lengths.sum()], lengths)


class Waiting:
    """Ragged arrays of a unit's samples, which wait for its end."""

    def __init__(self, arrays: Arrays) -> None:
        if taken := {OFFSETS, ABSENT} & arrays.keys():
            raise SpecError(
                "arrays of this name say how ragged arrays lie",
                code="reserved-name",
                about=min(taken),
                hint="call the array something else",
            )
        self._held: dict[str, list[_Stretch]] = {}
        self._specs: dict[str, ArraySpec] = {}
        self._bytes = 0

    def add(
        self,
        number: int,
        name: str,
        value: np.ndarray | Slabs,
        spec: ArraySpec,
        lengths: np.ndarray | None = None,
    ) -> None:
        """Take an array of sample `number`, or those of it and the samples behind it.

        Args:
            number: of the first sample.
            name: of the array.
            value: of the sample; of several end to end.
            spec: what it is.
            lengths: of each sample's, int64 (samples,); None: it is of one.

        Raises:
            FatalError: it comes as slabs, or is of another type or width than the others
                ("undeclared-type", "undeclared-shape").
            SpecError: the unit is too large (code "ragged-too-large").
        """
        if isinstance(value, Slabs):
            raise undeclared("shape", f"{name} is ragged and comes as slabs")
        held = self._held.setdefault(name, [])
        other = held[0].values if held else value
        if other.shape[1:] != value.shape[1:]:
            raise undeclared("shape", f"{name} of widths {other.shape[1:]} and {value.shape[1:]}")
        if other.dtype != value.dtype:
            raise undeclared("type", f"{name} of {other.dtype} and {value.dtype}")
        if self._bytes + value.nbytes > MOST_BYTES:
            raise SpecError(
                f"the ragged arrays of a unit are more than {MOST_BYTES} bytes",
                code="ragged-too-large",
                about=name,
                hint="make smaller units: `units: {samples: …}`",
            )
        self._bytes += value.nbytes
        own = value if value.base is None else value.copy()
        ends = (len(value),) if lengths is None else lengths
        held.append(_Stretch(number, own, np.array(ends, np.int64)))
        self._specs[name] = spec

    def forget(self, rows: int) -> None:
        """Take back every sample after the first `rows`."""
        for name, held in self._held.items():
            self._held[name] = [one.until(rows) for one in held if one.first < rows]
        stretches = chain.from_iterable(self._held.values())
        self._bytes = sum(one.values.nbytes for one in stretches)

    def write(self, rows: int, put: Put) -> dict[str, ArraySpec]:
        """Write all of it; returns what was written, by name in the order of offsets.

        Args:
            rows: of the unit's table.
            put: see Put.
        """
        kept = {name: held for name, held in sorted(self._held.items()) if held}
        if not kept:
            return {}
        offsets = np.zeros((len(kept), rows + 1), np.int64)
        absent = np.ones((len(kept), rows), bool)
        specs: dict[str, ArraySpec] = {}
        for at, (name, held) in enumerate(kept.items()):
            for first, _, lengths in held:
                offsets[at, first + 1 : first + 1 + len(lengths)] = lengths
                absent[at, first : first + len(lengths)] = False
            np.cumsum(offsets[at], out=offsets[at])
            one = held[0].values
            shape = (int(offsets[at, -1]), *one.shape[1:])
            specs[name] = spec = _chunked(self._specs[name], one)
            parts = _joined([stretch.values for stretch in held])
            slabs, chunk = Slabs(shape, one.dtype, 0, parts), spec.chunk_of(shape)
            put(name, slabs, chunk, spec.names, packing=spec.packing)
        point("ragged.values")
        put(OFFSETS, offsets, (1, min(rows + 1, CHUNK_ROWS)), ("name", "row"))
        if absent.any():
            put(ABSENT, absent, (1, min(rows, CHUNK_ROWS)), ("name", "row"))
        return specs


def _chunked(spec: ArraySpec, one: np.ndarray) -> ArraySpec:
    """With a chunk that holds about CHUNK_BYTES of rows, unless one is declared."""
    if spec.chunk is not None:
        return spec
    width = one.dtype.itemsize * math.prod(one.shape[1:])
    chunk = (max(1, CHUNK_BYTES // max(1, width)), *(None,) * (one.ndim - 1))
    return replace(spec, chunk=chunk)


def _joined(values: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Values end to end, in slabs."""
    held, size = [], 0
    for value in values:
        held.append(value)
        size += value.nbytes
        if size >= SLAB_BYTES:
            yield np.concatenate(held)
            held, size = [], 0
    if held:
        yield np.concatenate(held)


class Ragged:
    """One ragged array of all samples of a shard. As readers of arrays, of one thread.

    Args:
        values: of all samples, end to end.
        ends: offsets, int64 (rows + 1,), checked.
        absent: which samples lack it, bool (rows,); None: none.
    """

    def __init__(self, values: ArrayReader, ends: np.ndarray, absent: np.ndarray | None) -> None:
        self.values, self._ends, self._absent = values, ends, absent

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Of each sample's array along its first axis, int64 (rows,); 0 where there is none."""
        return np.diff(self._ends)

    def has(self, row: int) -> bool:
        """Whether a sample has the array, be it empty."""
        return self._absent is None or not self._absent[row]

    def has_all(self, rows: np.ndarray) -> bool:
        """Whether all these samples have it."""
        return self._absent is None or not self._absent[rows].any()

    def span(self, row: int) -> tuple[int, int]:
        """Where a sample's values begin and end."""
        return int(self._ends[row]), int(self._ends[row + 1])

    def take(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Arrays of samples, in the order asked for; chunks that they share are read once, and all
        of an object by one request. A sample that lacks it has an empty one.

        Raises:
            DamageError: stored bytes are damaged; names the object.
        """
        if len(rows) == 1:
            return [self.values[slice(*self.span(rows[0]))]]
        wanted = np.asarray(rows, np.int64)
        return self.values.take(self._ends[wanted], self._ends[wanted + 1])


def checked(offsets: np.ndarray, ends: Sequence[int], path: str) -> np.ndarray:
    """Offsets of a shard's ragged arrays, int64 (names, rows + 1), whose values end at `ends`.

    Raises:
        DamageError: they cannot be theirs (code "damaged-offsets").
    """
    rising = bool((np.diff(offsets, axis=1) >= 0).all()) and not offsets[:, :1].any()
    if not rising or offsets[:, -1].tolist() != list(ends):
        raise damage("the offsets don't fit the values", "damaged-offsets", path)
    return offsets
