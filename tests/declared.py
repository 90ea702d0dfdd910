"""What arrays in tests are, by the names that they go by."""

from collections.abc import Iterable

from medray.storage.shards.forms.ome import IMAGE, LABEL
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ANY, Arrays, ArraySpec, Axis

_FEATURES = ArraySpec((Axis("feature"),))
_BASES = ArraySpec((Axis("base", "base", "base"),))
_TRACK = ArraySpec((Axis("track"), Axis("base", "base", "base")))
LAID: Arrays = {ANY: ArraySpec((), form="laid")}
DECLARED: Arrays = {
    "image": IMAGE,
    "label": LABEL,
    "probability": IMAGE,
    "sequence": _BASES,
    "iupac": _BASES,
    "track": _TRACK,
    "features": _FEATURES,
}


def declared_of(samples: Iterable[Sample]) -> Arrays:
    """`DECLARED`, and plain arrays of as many axes as samples have under other names."""
    found = {name: array for sample in samples for name, array in sample.arrays.items()}
    plain = {
        name: ArraySpec(tuple(Axis(f"axis{n}") for n in range(len(array.shape))))
        for name, array in found.items()
    }
    return {**plain, **DECLARED}
