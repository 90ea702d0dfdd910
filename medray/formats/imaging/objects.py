"""Objects in images: what a row holds of each, and which boxes can be meant.

A box is where its object begins and ends along each axis, slow axis first, in voxels of the stored
image: `begin` is the edge before its first voxel and `end` the edge behind its last, so that a box
of the whole image is 0 … its shape, and `end - begin` is how large it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.storage.shards.records import Refusal

OBJECTS, CLIPPED = "objects", "objects_clipped"


@dataclass(frozen=True)
class Object:
    """One object of an image.

    Args:
        kind: its class.
        begin: its edges towards 0, an axis each, in voxels.
        end: the opposite ones.
        score: how sure an answer is of it; None: it is marked by hand.
        difficult: it need not be found, and finding it is no mistake.
        crowd: it stands for many that nobody has told apart; the same holds of them.
        called: whether an answer's score is high enough to act on; None: nobody has said.
    """

    kind: str
    begin: tuple[float, ...]
    end: tuple[float, ...]
    score: float | None = None
    difficult: bool = False
    crowd: bool = False
    called: bool | None = None

    @property
    def told(self) -> dict[str, Any]:
        """As a cell of a row has it."""
        made: dict[str, Any] = {
            "class": self.kind,
            "begin": list(self.begin),
            "end": list(self.end),
        }
        if self.score is not None:
            return made | {"score": self.score, "called": self.called}
        return made | {"difficult": self.difficult, "crowd": self.crowd}


def objects_of(row: Mapping[str, Any]) -> list[Object]:
    """The objects of a row.

    Raises:
        DataError: nobody has looked for objects in it ("no-objects"), or what stands there are none
            ("bad-objects").
    """
    if row.get(OBJECTS) is None:
        raise DataError(
            "the sample's objects are not known",
            code="no-objects",
            hint="select samples of which `has_label` is true",
        )
    try:
        found = [
            Object(
                str(one["class"]),
                tuple(float(edge) for edge in one["begin"]),
                tuple(float(edge) for edge in one["end"]),
                None if one.get("score") is None else float(one["score"]),
                bool(one.get("difficult")),
                bool(one.get("crowd")),
                one.get("called"),
            )
            for one in row[OBJECTS]
        ]
        if any(len(one.begin) != len(one.end) for one in found):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("the row's objects can't be read", code="bad-objects") from error
    return found


def boxes_of(objects: Iterable[Object], axes: int) -> np.ndarray:
    """Edges as float32 (objects, 2 * axes): where each begins, then where it ends."""
    edges = [(*one.begin, *one.end) for one in objects]
    return np.asarray(edges, np.float32).reshape(-1, 2 * axes)


@dataclass
class Placing:
    """Holds objects against the image that they are of.

    What lies partly outside is cut to the image, as annotators of cells at a rim draw them and as
    the detectors of the field train on them; `clipped` counts them.

    Args:
        shape: of the image, in voxels, slow axis first.
        classes: that are known; empty: any.
    """

    shape: Sequence[int]
    classes: Sequence[str] = ()
    clipped: int = 0

    def placed(self, found: Object) -> Object:
        """The object, inside of the image.

        Raises:
            DataError: it is of a class that is not asked for ("unknown-class"), its edges are no
                numbers ("bad-box"), it has no area ("box-without-area"), or lies outside of the
                image ("box-outside").
        """
        if not found.kind or (self.classes and found.kind not in self.classes):
            raise DataError(
                "an object is of a class that is not asked for",
                code="unknown-class",
                hint="list it in `classes`" if self.classes else "each object has a class",
            )
        begin, end = np.asarray(found.begin, np.float64), np.asarray(found.end, np.float64)
        if begin.shape != (len(self.shape),) or not np.isfinite([begin, end]).all():
            raise DataError("a box's edges are no numbers", code="bad-box")
        if not (end > begin).all():
            raise DataError("a box has no area", code="box-without-area")
        inner, outer = np.maximum(begin, 0), np.minimum(end, self.shape)
        if not (outer > inner).all():
            raise DataError(
                "a box lies outside of its image",
                code="box-outside",
                hint="are they of another size of the image, or from its other corner?",
            )
        if (inner > begin).any() or (outer < end).any():
            self.clipped += 1
        return Object(
            found.kind,
            tuple(inner.tolist()),
            tuple(outer.tolist()),
            found.score,
            found.difficult,
            found.crowd,
        )

    def each(self, found: Iterable["Object | DataError"]) -> Iterator["Object | DataError"]:
        """Every object inside of the image, or why there is none."""
        for one in found:
            if isinstance(one, DataError):
                yield one
                continue
            try:
                yield self.placed(one)
            except DataError as error:
                yield error


def placed(
    key: str, found: Iterable[Object | DataError], placing: Placing
) -> tuple[dict[str, Any], list[Refusal]]:
    """Columns of objects that lie inside of their image, and refusals of all others by number.

    Args:
        key: of the input that they are of; one of them is refused as <key>:<number>.
        found: the objects, or why one can't be read.
        placing: holds them against the image.
    """
    kept, refused = list[Object](), list[Refusal]()
    for number, one in enumerate(placing.each(found), start=1):
        if isinstance(one, DataError):
            refused.append(Refusal.of(key, one, sample=f"{key}:{number}"))
        else:
            kept.append(one)
    return {OBJECTS: [one.told for one in kept], CLIPPED: placing.clipped}, refused
