"""What tells volumes at one place apart: echo, phase, b-value, time; never a guess.

Slices of several volumes share positions, and InstanceNumber need not follow any of them (Philips
numbers at random). So volumes are told apart by what their slices say of themselves, and where
that does not give each volume one slice at every position, they are not told apart at all.
"""

import itertools
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.pixels.frame import Frame

Value = tuple[float, ...] | tuple[str, ...]
Indices = npt.NDArray[np.intp]
Keys = dict[int, tuple[Any, ...]]  # of each slice what is known of its volume

FEWEST_POSITIONS = 3  # of fewer, numbers and times fall into blocks by chance


@dataclass(frozen=True)
class Mark:
    """One attribute that may differ between volumes.

    Args:
        name: keyword.
        tag: of it.
        sequences: functional groups that may hold it.
        form: of a binary number, as `struct` spells it; "" for text.
        whole: one volume has one value of it.
        runs: one volume may have several, each of neighbouring slices (GE's head CT: the posterior
            fossa is another ImageType than what lies above).
    """

    name: str
    tag: int
    sequences: tuple[int, ...] = ()
    form: str = ""
    whole: bool = False
    runs: bool = False


_FRAME_TYPES = (tags.MR_FRAME_TYPE_SEQUENCE, tags.CT_FRAME_TYPE_SEQUENCE,
                tags.PET_FRAME_TYPE_SEQUENCE)  # fmt: skip
_CONTENT = (tags.FRAME_CONTENT_SEQUENCE,)

NAMED = (
    Mark("ImageType", tags.IMAGE_TYPE, runs=True),
    Mark("FrameType", tags.FRAME_TYPE, _FRAME_TYPES, runs=True),
    Mark("ComplexImageComponent", tags.COMPLEX_IMAGE_COMPONENT, _FRAME_TYPES, whole=True),
    Mark("EchoTime", tags.ECHO_TIME, whole=True),
    Mark("EffectiveEchoTime", tags.EFFECTIVE_ECHO_TIME, (tags.MR_ECHO_SEQUENCE,), "d", whole=True),
    Mark("EchoNumbers", tags.ECHO_NUMBERS, whole=True),
    Mark("TemporalPositionIdentifier", tags.TEMPORAL_POSITION),
    Mark("TemporalPositionIndex", tags.TEMPORAL_POSITION_INDEX, _CONTENT, "L"),
    Mark("AcquisitionNumber", tags.ACQUISITION_NUMBER),
    Mark("FrameAcquisitionNumber", tags.FRAME_ACQUISITION_NUMBER, _CONTENT, "H"),
    Mark("FrameReferenceTime", tags.FRAME_REFERENCE_TIME),
    Mark("InversionTime", tags.INVERSION_TIME, whole=True),
    Mark("FlipAngle", tags.FLIP_ANGLE),
    Mark("DiffusionBValue", tags.DIFFUSION_B_VALUE, (tags.MR_DIFFUSION_SEQUENCE,), "d", whole=True),
    Mark("DiffusionGradientOrientation", tags.GRADIENT_DIRECTION,
         (tags.MR_DIFFUSION_SEQUENCE, tags.GRADIENT_DIRECTION_SEQUENCE), "d"),
    Mark("SequenceName", tags.SEQUENCE_NAME),
    Mark("StackID", tags.STACK_ID, _CONTENT),
    Mark("KVP", tags.KVP),
    Mark("ConvolutionKernel", tags.CONVOLUTION_KERNEL),
)  # fmt: skip
"""Whose values say which volume a slice is of; those that are trusted most come first."""

TIMED = (
    Mark("TriggerTime", tags.TRIGGER_TIME),
    Mark("NominalCardiacTriggerDelayTime", tags.TRIGGER_DELAY, (tags.CARDIAC_SEQUENCE,), "d"),
    Mark("AcquisitionDateTime", tags.ACQUISITION_DATETIME),
    Mark("FrameAcquisitionDateTime", tags.FRAME_ACQUISITION_DATETIME, _CONTENT),
    Mark("AcquisitionTime", tags.ACQUISITION_TIME),
    Mark("ContentTime", tags.CONTENT_TIME),
)
"""Whose values differ between the slices of one volume too, so only their order says anything."""

MARKS = NAMED + TIMED
PHASES = 2  # of TIMED: the n-th phase of a heart beat is the n-th at every slice
_TAGS = tuple(mark.tag for mark in MARKS)


def marks_of(groups: list[Elements]) -> tuple[bytes | None, ...]:
    """The values of MARKS as written, the nearest of `groups` first.

    Args:
        groups: a frame's own attributes, those of all frames, those of the file.
    """
    if len(groups) == 1:
        return tuple(map(groups[0].raw.get, _TAGS))
    return tuple(_nearest(groups, mark) for mark in MARKS)


def _nearest(groups: list[Elements], mark: Mark) -> bytes | None:
    for group in groups:
        for sequence in mark.sequences:
            inner = group.first(sequence)
            if inner is not None:
                group = inner
        found = group.raw.get(mark.tag)
        if found:
            return found
    return None


def mixed_in(frames: Sequence[Frame], order: Indices) -> str:
    """The keyword of what differs within a stack and must not within one volume, "" for none.

    Args:
        frames: of the stack.
        order: of them along the normal.
    """
    for at, mark in enumerate(MARKS):
        if not (mark.whole or mark.runs) or len({_written(frame, at) for frame in frames}) == 1:
            continue
        values = [_value(_written(frames[index], at), mark.form) for index in order]
        values = [value for value in values if value]  # what is not said contradicts nothing
        apart = set(values)
        runs = 1 + sum(one != other for one, other in itertools.pairwise(values))
        if len(apart) > 1 and not _near(apart) and (mark.whole or runs > len(apart)):
            return mark.name
    return ""


def tell_apart(frames: Sequence[Frame], places: list[list[int]]) -> list[Indices] | None:
    """Assign slices that share positions to volumes.

    Args:
        frames: of the series.
        places: the frames at each position, in order along the normal; equally many at each.

    Returns:
        For each volume its frames along the normal; volumes in the order of InstanceNumber where
        that orders them alike at every position, else of what tells them apart. None where nothing
        does.
    """
    every = [index for place in places for index in place]
    keys: Keys = dict.fromkeys(every, ())
    numbers = {index: float(frames[index].number) for index in every}
    for at, mark in enumerate(MARKS):
        values = {index: _value(_written(frames[index], at), mark.form) for index in every}
        if len(set(values.values())) == 1:
            continue
        if mark in NAMED:
            _refine(keys, places, values)
        elif all(len(value) == 1 and isinstance(value[0], float) for value in values.values()):
            times = {index: float(value[0]) for index, value in values.items()}
            _refine(keys, places, _ranks(keys, places, times, alike=mark in TIMED[:PHASES]))
        if _settled(keys, places):
            break
    else:
        _refine(keys, places, _ranks(keys, places, numbers, one_order=True))
        if not _settled(keys, places):
            return None
    order = sorted(places[0], key=lambda index: _sortable(keys[index]))
    rank = _ranks(dict.fromkeys(every, ()), places, numbers, alike=True)
    if rank and len({(keys[index], rank[index]) for index in every}) == len(order):
        order = sorted(places[0], key=rank.__getitem__)
    at_place = [{keys[index]: index for index in place} for place in places]
    return [np.array([by_key[keys[first]] for by_key in at_place]) for first in order]


def _sortable(key: tuple[Any, ...]) -> list[tuple[int, Any]]:
    # Ranks, absent values, numbers and words do not compare with each other.
    return [
        (0, part) if isinstance(part, int) else (1 + isinstance((*part, "")[0], str), part)
        for part in key
    ]


def _refine(keys: Keys, places: list[list[int]], values: Mapping[int, object] | None) -> None:
    """Add a value to the keys, where then every position has the same keys."""
    if values is None:
        return
    finer = {index: (*key, values[index]) for index, key in keys.items()}
    first = Counter(finer[index] for index in places[0])
    if all(Counter(finer[index] for index in place) == first for place in places[1:]):
        keys.update(finer)


def _settled(keys: Keys, places: list[list[int]]) -> bool:
    return len({keys[index] for index in places[0]}) == len(places[0])


def _ranks(
    keys: Keys,
    places: list[list[int]],
    numbers: dict[int, float],
    *,
    alike: bool = False,
    one_order: bool = False,
) -> dict[int, int] | None:
    """The rank of each slice at its position, None where that says nothing.

    Args:
        keys: what is known already; ranks count among equal ones.
        places: the frames at each position.
        numbers: to rank by.
        alike: the rank alone is enough; else numbers must run through one volume after another,
            or through one position after another.
        one_order: they must then run through every volume in the same order.
    """
    rank: dict[int, int] = {}
    for key in {keys[index] for index in places[0]}:
        rows = [
            sorted((i for i in place if keys[i] == key), key=numbers.__getitem__)
            for place in places
        ]
        table = np.array([[numbers[index] for index in row] for row in rows])
        if table.shape[1] > 1 and not (np.diff(table) > 0).all():
            return None
        if not (alike or _in_blocks(table, one_order)):
            return None
        rank.update((index, at) for row in rows for at, index in enumerate(row))
    return rank


def _in_blocks(table: npt.NDArray[np.float64], one_order: bool) -> bool:
    """Whether numbers (positions, volumes), sorted at each position, run block after block."""
    if len(table) < FEWEST_POSITIONS:
        return False
    low, high = table[:, 0], table[:, -1]
    if (high[:-1] < low[1:]).all() or (high[1:] < low[:-1]).all():
        return True  # all volumes at one position, then at the next
    apart = (table.max(axis=0)[:-1] < table.min(axis=0)[1:]).all()
    order = np.argsort(table, axis=0, kind="stable")
    return bool(apart and (not one_order or (order == order[:, :1]).all()))


def _written(frame: "Frame", at: int) -> bytes | None:
    return frame.marks[at] if frame.marks else None


@lru_cache(65536)
def _value(raw: bytes | None, form: str) -> Value:
    if not raw:
        return ()
    if form:
        whole = raw[: len(raw) // struct.calcsize("<" + form) * struct.calcsize("<" + form)]
        return tuple(float(number) for (number,) in struct.iter_unpack("<" + form, whole))
    parts = raw.decode("utf-8", "replace").strip(" \0").split("\\")
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        return tuple(part.strip() for part in parts)


def _near(values: set[Value]) -> bool:
    """Whether numbers differ by rounding only."""
    numbers = [value[0] for value in values if len(value) == 1 and isinstance(value[0], float)]
    limit = 0.01 * max((abs(number) for number in numbers), default=0.0)
    return len(numbers) == len(values) and max(numbers) - min(numbers) <= limit
