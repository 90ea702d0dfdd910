"""What arrays are, said before one is read: axes, units, types, chunks and form.

Who makes samples declares their arrays (`Format.arrays`, `Operation.arrays`), the writer holds them
to it, and a version's manifest says what came.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from itertools import compress
from typing import Any, Literal

from medray.errors import FatalError

PackingName = Literal["fast", "dense", "smooth"]
ANY = "*"  # stands for every array, of samples that come with a layout
_CHUNK = {1: (2**18,), 2: (512, 512), 3: (32, 64, 64)}  # at most 256 Ki elements: 512 KiB as int16


@dataclass(frozen=True)
class Axis:
    """One axis of an array.

    Args:
        name: as Zarr's dimension.
        kind: what lies along it. Along "space", "time" and "base" an array goes on and on, and is
            cut and streamed; of a "channel" each is read alone; an "index" is any other.
        unit: of a step along it, as OME-Zarr calls it, such as "millimeter" or "second".
        optional: some arrays have it and some have not, as z of pictures beside volumes.
    """

    name: str
    kind: Literal["space", "time", "base", "channel", "index"] = "index"
    unit: str = ""
    optional: bool = False


@dataclass(frozen=True)
class ArraySpec:
    """One array of every sample of a dataset.

    Args:
        axes: in order.
        dtypes: names of the types that it may have; none: any, as each sample has it.
        form: how it lies in storage. "ome": an image that viewers of OME-Zarr open, and where it
            has no channels, labels of the image beside it. "laid": as the sample's `Layout` says.
        chunk: the least that is decoded, by axis; None along an axis: all of it; None altogether:
            one channel, and about 256 Ki elements of the rest.
        packing: for chunks that are decoded "fast", or "dense" ones, or of "smooth" signals.
        ragged: samples differ along the first axis; see `shards.ragged`. Chunks are of about 64 KiB
            then, unless `chunk` says so.
    """

    axes: tuple[Axis, ...]
    dtypes: tuple[str, ...] = ()
    form: Literal["plain", "ome", "laid"] = "plain"
    chunk: tuple[int | None, ...] | None = None
    packing: PackingName = "fast"
    ragged: bool = False

    def __post_init__(self) -> None:
        if self.ragged and (self.form != "plain" or any((self.chunk and self.chunk[1:]) or ())):
            raise ValueError("a ragged array is plain, its chunks cut along the first axis only")

    def seen(self, ndim: int, dtype: str) -> "ArraySpec":
        """As an array has it: its own axes, type and chunk.

        Raises:
            FatalError: it is not as it was declared: another number of axes ("undeclared-shape") or
                another type ("undeclared-type").
        """
        spare = len(self.axes) - ndim
        keep = []
        for axis in self.axes:
            keep.append(not (axis.optional and spare > 0))
            spare -= not keep[-1]
        if spare:
            raise undeclared("shape", f"{ndim} axes, not {', '.join(a.name for a in self.axes)}")
        if self.dtypes and dtype not in self.dtypes:
            raise undeclared("type", f"{dtype}, not {' or '.join(self.dtypes)}")
        axes = tuple(replace(axis, optional=False) for axis in compress(self.axes, keep))
        chunk = self.chunk and tuple(compress(self.chunk, keep))
        if chunk is None and not self.ragged:
            chunk = _chunk(axes)
        return replace(self, axes=axes, dtypes=(dtype,), chunk=chunk)

    def chunk_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The inner chunk of an array of this shape, with as many axes as `seen` has."""
        pairs = zip(self.chunk or (), shape, strict=True)
        made = [max(1, size if most is None else min(most, size)) for most, size in pairs]
        if self.packing == "smooth":  # bits are shuffled of whole eights of values
            made[-1] += -made[-1] % 8
        return tuple(made)

    @property
    def slab_axis(self) -> int:
        """Along which an array is written piece by piece: the first that is no channel."""
        kinds = [axis.kind == "channel" for axis in self.axes]
        return 0 if all(kinds) else kinds.index(False)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the axes."""
        return tuple(axis.name for axis in self.axes)

    def count(self, kind: str) -> int | None:
        """How many axes are of a kind; None: not all arrays have as many."""
        found = [axis for axis in self.axes if axis.kind == kind]
        return None if any(axis.optional for axis in found) else len(found)

    def __str__(self) -> str:
        axes = (
            f"{axis.name}{'?' * axis.optional}{f' ({axis.unit})' if axis.unit else ''}"
            for axis in self.axes
        )
        chunk = " x ".join("all" if one is None else str(one) for one in self.chunk or ())
        dtypes = " or ".join(self.dtypes) or "any type"
        told = [", ".join(axes), dtypes, f"chunk {chunk}" * bool(chunk), self.form]
        return "; ".join(filter(None, [*told, "ragged" * self.ragged]))


Arrays = Mapping[str, ArraySpec]


def declared(arrays: Arrays, name: str) -> ArraySpec:
    """What was declared of an array.

    Raises:
        FatalError: nothing was (code "undeclared-array").
    """
    found = arrays.get(name) or arrays.get(ANY)
    if found is None:
        raise undeclared("array", f"{name}; declared are {', '.join(arrays) or 'none'}")
    return found


def undeclared(what: str, about: str) -> FatalError:
    """The error for what is not as it was declared: whoever makes the samples is wrong."""
    return FatalError(
        f"the {what} of an array is not declared" if what != "array" else "an undeclared array",
        code=f"undeclared-{what}",
        about=about,
        hint="mend `arrays` of the format, transformation or predictor that makes it",
    )


def united(several: Iterable[Arrays]) -> dict[str, ArraySpec]:
    """What arrays of all are like, by name: axes that some lack are optional, types are any."""
    by_name: dict[str, list[ArraySpec]] = {}
    for arrays in several:
        for name, spec in arrays.items():
            by_name.setdefault(name, []).append(spec)
    return {name: reduce(_both, specs) for name, specs in sorted(by_name.items())}


def _both(one: ArraySpec, other: ArraySpec) -> ArraySpec:
    if one == other:
        return one
    longer, shorter = (one, other) if len(one.axes) >= len(other.axes) else (other, one)
    own = {axis.name: axis for axis in shorter.axes}
    axes = tuple(
        axis if axis.name in own and not own[axis.name].optional else replace(axis, optional=True)
        for axis in longer.axes
    )
    return replace(longer, axes=axes, dtypes=tuple(sorted({*one.dtypes, *other.dtypes})))


def space_axes(arrays: Arrays) -> int | None:
    """How many axes of space all arrays have that lie in space; None: they differ, or none does."""
    counts = {spec.count("space") for spec in arrays.values()} - {0}
    return counts.pop() if len(counts) == 1 else None


def encode(arrays: Arrays) -> dict[str, Any]:
    """As JSON-able values."""
    return {  # by hand: `asdict` copies what lies deep, and takes ten times as long
        name: {**vars(spec), "axes": tuple(dict(vars(axis)) for axis in spec.axes)}
        for name, spec in arrays.items()
    }


def decode(document: Mapping[str, Any]) -> dict[str, ArraySpec]:
    """What `encode` wrote.

    Raises:
        TypeError, KeyError, ValueError: it is something else.
    """
    return {
        name: ArraySpec(
            tuple(Axis(**axis) for axis in spec["axes"]),
            tuple(spec["dtypes"]),
            spec["form"],
            None if spec["chunk"] is None else tuple(spec["chunk"]),
            spec["packing"],
            spec["ragged"],
        )
        for name, spec in document.items()
    }


def _chunk(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    """One of each channel, and of the last three others what a patch is about."""
    inner = [number for number, axis in enumerate(axes) if axis.kind != "channel"][-3:]
    sizes = dict(zip(inner, _CHUNK.get(len(inner), ()), strict=True))
    return tuple(sizes.get(number, 1) for number in range(len(axes)))
