"""Reading an array: what is asked for is decoded, chunk by chunk, and no more."""

import itertools
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from medray.errors import DataError
from medray.storage.shards.recent import Recent
from medray.storage.shards.zarr3 import EMPTY, ArrayMeta, decode_index, decompress, dtype_of
from medray.storage.store.damage import damage
from medray.storage.store.fetch import fetch
from medray.storage.store.objects import Objects
from medray.storage.store.remote import READS

_HELD = 2**24  # values that `windows` has decoded at a time, at most
_RECENT = Recent(64 * 2**20)

Raw = TypeVar("Raw")
Decoded = TypeVar("Decoded")
Place = tuple[int, ...]


@cache
def _threads() -> int:
    """Threads that decode: this process's cores, or the share of them that it was given."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, int(os.environ.get("OMP_NUM_THREADS") or cores)))


@cache
def _decoders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), thread_name_prefix="decode")


# Threads do not live on in a child, such as a worker of torch's DataLoader.
os.register_at_fork(after_in_child=_decoders.cache_clear)


class ArrayReader:
    """Reads any window of one array; decodes only the inner chunks that it touches.

    Not shared between threads: the cache of shard indices is its own.
    """

    def __init__(self, objects: Objects, path: str, meta: ArrayMeta) -> None:
        self.meta = meta
        self._objects, self._path = objects, path
        self._indices: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.meta.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the array."""
        return dtype_of(self.meta.dtype)

    def __getitem__(self, window: tuple[slice, ...] | slice) -> np.ndarray:
        """The values in `window`: slices with step 1 along the leading axes, all of the rest.

        Raises:
            DamageError: stored bytes are damaged; names the object.
        """
        window = window if isinstance(window, tuple) else (window,)
        window += (slice(None),) * (len(self.shape) - len(window))
        bounds = [s.indices(n)[:2] for s, n in zip(window, self.shape, strict=True)]
        starts = [low for low, _ in bounds]
        stops = [max(low, high) for low, high in bounds]
        sizes = [high - low for low, high in zip(starts, stops, strict=True)]
        if math.prod(sizes) == 0:
            return np.zeros(sizes, self.dtype)
        shard = self.meta.shard
        # A damaged shape claims shards that are not there: asked before anything is allocated.
        self._index(tuple((stop - 1) // size for stop, size in zip(stops, shard, strict=True)))
        out = np.zeros(sizes, self.dtype)
        for place in itertools.product(
            *(range(a // s, -(-b // s)) for a, b, s in zip(starts, stops, shard, strict=True))
        ):
            self._read_shard(place, starts, stops, out)
        return out

    def take(self, starts: np.ndarray, stops: np.ndarray) -> list[np.ndarray]:
        """Values of spans of the first axis, of an array whose chunks hold all of the other axes.

        A chunk that several spans touch is read once, and all of an object by one request.

        Args:
            starts: of each span, int64.
            stops: of each, no less than its start.

        Raises:
            DamageError: stored bytes are damaged; names the object.
        """
        deep, per = self.meta.chunk[0], self.meta.inner[0]
        rest = (0,) * (len(self.shape) - 1)
        blocks: dict[int, np.ndarray] = {}
        numbers = _touched(deep, starts, stops)
        for shard in np.unique(numbers // per).tolist():

            def keep(at: Place, block: np.ndarray, first: int = shard * per) -> None:
                blocks[first + at[0]] = block.copy()

            own = numbers[numbers // per == shard] - shard * per
            self._decode((shard, *rest), [(number, *rest) for number in own.tolist()], keep)
        blank = np.zeros(self.meta.chunk, self.dtype)
        made = []
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            parts = [
                blocks.get(number, blank)[max(0, start - number * deep) : stop - number * deep]
                for number in range(start // deep, -(-stop // deep) if stop > start else 0)
            ]
            empty = np.zeros((0, *self.shape[1:]), self.dtype)
            made.append(np.concatenate(parts) if parts else empty)
        return made

    def rows(self, at: np.ndarray) -> np.ndarray:
        """Entries of the first axis, of an array whose chunks hold all of the other axes.

        A chunk that several lie in is decoded once, and all of an object read by one request.

        Args:
            at: their numbers, int64, in any order.

        Returns:
            (entries, *other axes)

        Raises:
            DamageError: stored bytes are damaged; names the object.
        """
        deep, per = self.meta.chunk[0], self.meta.inner[0]
        out = np.zeros((len(at), *self.shape[1:]), self.dtype)
        order = np.argsort(at, kind="stable")
        numbers, firsts = np.unique(at[order] // deep, return_index=True)
        of_chunk = dict(zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True))
        rest = (0,) * (len(self.shape) - 1)
        for shard in np.unique(numbers // per).tolist():

            def put(place: Place, block: np.ndarray, first: int = shard * per) -> None:
                number = first + place[0]
                own = of_chunk[number]
                out[own] = block[at[own] - number * deep]

            own = numbers[numbers // per == shard] - shard * per
            self._decode((shard, *rest), [(number, *rest) for number in own.tolist()], put)
        return out

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Equally long spans of the last axis, of an array whose chunks hold all of the others.

        A chunk that several of them touch is decoded once, and all of an object read by one
        request: many at once cost less than one after the other. Those that were decoded last are
        kept, 64 MiB of all arrays of a process.

        Args:
            starts: of each, int64, in any order; what lies beyond the array is zero.
            length: of all of them.

        Returns:
            (windows, *other axes, length)

        Raises:
            DamageError: stored bytes are damaged; names the object.
        """
        size, deep = self.shape[-1], self.meta.chunk[-1]
        out = np.zeros((len(starts), *self.shape[:-1], length), self.dtype)
        inner = (starts >= 0) & (starts + length <= size)
        order = np.flatnonzero(inner)[np.argsort(starts[inner], kind="stable")]
        step = max(1, _HELD // max(1, out[:1].size + math.prod(self.meta.chunk)))
        for some in np.split(order, range(step, len(order), step)):
            chunks = self._chunks(_touched(deep, starts[some], starts[some] + length).tolist())
            # Span by span: numpy's own gather takes four times as long.
            for window, start in zip(some.tolist(), starts[some].tolist(), strict=True):
                done = 0
                while done < length:
                    number, at = divmod(start + done, deep)
                    part = chunks[number][..., at : at + length - done]
                    out[window, ..., done : done + part.shape[-1]] = part
                    done += part.shape[-1]
        for window in np.flatnonzero(~inner).tolist():  # over an end
            low = int(starts[window])
            first, last = max(0, low), max(0, min(low + length, size))
            if first < last:
                rest = (slice(None),) * (len(self.shape) - 1)
                out[window, ..., first - low : last - low] = self[(*rest, slice(first, last))]
        return out

    def _chunks(self, numbers: list[int]) -> dict[int, np.ndarray]:
        """Chunks along the last axis by their numbers, those that are not recent decoded."""
        per, rest = self.meta.inner[-1], (0,) * (len(self.shape) - 1)
        found = {}
        for number in numbers:
            recent = _RECENT.get((self._objects, self._path, number))
            if recent is not None:
                found[number] = recent
        wanted = [number for number in numbers if number not in found]
        found |= dict.fromkeys(wanted, np.zeros(self.meta.chunk, self.dtype))
        for shard, own in groupby(wanted, lambda number: number // per):

            def keep(at: Place, block: np.ndarray, first: int = shard * per) -> None:
                number = first + at[-1]
                found[number] = block.copy()
                _RECENT.put((self._objects, self._path, number), found[number])

            self._decode((*rest, shard), [(*rest, number - shard * per) for number in own], keep)
        return found

    def _read_shard(
        self, place: Place, starts: Sequence[int], stops: Sequence[int], out: np.ndarray
    ) -> None:
        chunk, shard = self.meta.chunk, self.meta.shard
        origin = [p * s for p, s in zip(place, shard, strict=True)]
        ranges = [
            range(max(0, a - o) // c, -(-min(s, b - o) // c))
            for a, b, o, c, s in zip(starts, stops, origin, chunk, shard, strict=True)
        ]

        def put(at: Place, block: np.ndarray) -> None:
            target, source = [], []
            for i, c, o, a, b in zip(at, chunk, origin, starts, stops, strict=True):
                low = o + i * c
                first, last = max(a, low), min(b, low + c)
                target.append(slice(first - a, last - a))
                source.append(slice(first - low, last - low))
            out[tuple(target)] = block[tuple(source)]

        self._decode(place, itertools.product(*ranges), put)

    def _decode(
        self, place: Place, chunks: Iterable[Place], put: Callable[[Place, np.ndarray], None]
    ) -> None:
        """Hand over chunks of a shard, but for those of zeros, from one thread or several; what is
        handed over is filled anew afterwards."""
        index = self._index(place)
        wanted = [
            (at, int(index[at][0]), int(index[at][1]))
            for at in chunks
            if int(index[at][0]) != EMPTY
        ]
        if not wanted:
            return
        path = self._shard_path(place)
        per, fetched = fetch(self._objects, path, [(at, size) for _, at, size in wanted])

        def again(first: int, size: int) -> memoryview:
            return self._objects.get_ranges(path, [first], [first + size])[0]

        def decode(share: int) -> None:
            buffer = np.empty(self.meta.chunk, self.dtype)
            for number in range(share, len(wanted), shares):
                at, first, size = wanted[number]
                data = fetched[number // per]()[number % per]
                try:
                    _sound(data, partial(again, first, size), lambda raw: decompress(raw, buffer))
                except DataError as error:
                    raise damage(error.message, error.code, path) from error
                put(at, buffer)

        shares = _threads() if len(wanted) >= 8 else 1  # below 8 chunks a hand-over costs more
        if shares == 1:
            decode(0)
        else:
            list(_decoders().map(decode, range(shares)))

    def _shard_path(self, place: tuple[int, ...]) -> str:
        return f"{self._path}/{self.meta.key(place)}"

    def _index(self, place: tuple[int, ...]) -> np.ndarray:
        if place in self._indices:
            self._indices.move_to_end(place)
            return self._indices[place]
        path = self._shard_path(place)
        try:

            def tail() -> bytes:
                return self._objects.get_tail(path, self.meta.index_bytes)

            index = _sound(tail(), tail, lambda raw: decode_index(raw, self.meta.inner))
        except FileNotFoundError as error:
            raise damage("a shard is missing", "missing-shard", path) from error
        except DataError as error:
            raise damage(error.message, error.code, path) from error
        self._indices[place] = index
        if len(self._indices) > 64:
            self._indices.popitem(last=False)
        return index


class StackReader(ArrayReader):
    """Reads rows of a stack, asked for one by one and in order: what was decoded last is kept, so
    that the many rows of a chunk cost one decoding, and not one each."""

    def __init__(self, objects: Objects, path: str, meta: ArrayMeta) -> None:
        super().__init__(objects, path, meta)
        self._last: tuple[int, np.ndarray] | None = None

    def __getitem__(self, window: tuple[slice, ...] | slice) -> np.ndarray:
        """As of any array; kept is the chunk of a window that lies in one along the first axis."""
        first, *rest = window if isinstance(window, tuple) else (window,)
        low, high, _ = first.indices(self.shape[0])
        deep = self.meta.chunk[0]
        number = low // deep
        if not low < high <= (number + 1) * deep:
            return super().__getitem__(window)
        last = self._last
        if last is None or last[0] != number:
            last = number, super().__getitem__(slice(number * deep, (number + 1) * deep))
            self._last = last
        inside = slice(low - number * deep, high - number * deep)
        values: np.ndarray = last[1][(inside, *rest)].copy()
        return values


def _sound(data: Raw, read: Callable[[], Raw], decode: Callable[[Raw], Decoded]) -> Decoded:
    """Decode; what fails its checksum is read again first: a network may have altered it."""
    for _ in range(READS - 1):
        try:
            return decode(data)
        except DataError:
            data = read()
    return decode(data)


def _touched(deep: int, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Numbers of the chunks, each `deep` rows, that spans touch: each once, rising."""
    firsts = starts // deep
    counts = np.where(stops > starts, -(-stops // deep) - firsts, 0)
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    numbers: np.ndarray = np.unique(np.repeat(firsts, counts) + within)
    return numbers
