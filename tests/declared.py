"""What arrays in tests are, by the names that they go by."""

from collections.abc import Iterable

from medray.formats.signal.recording import spec_of
from medray.storage.shards.forms.ome import IMAGE, LABEL
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ANY, Arrays, ArraySpec, Axis
from tests.molecules import MOLECULES
from tests.pairs import PAIRS

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
    **MOLECULES,
    **PAIRS,
}


def declared_of(samples: Iterable[Sample]) -> Arrays:
    """`DECLARED`, arrays of recordings, and plain ones of as many axes as samples have."""
    found = {name: array for sample in samples for name, array in sample.arrays.items()}
    recorded = {name: spec_of(float(name[7:])) for name in found if name.startswith("signal_")}
    plain = {
        name: ArraySpec(tuple(Axis(f"axis{n}") for n in range(len(array.shape))))
        for name, array in found.items()
        if not _fits(name, len(array.shape))
    }
    return {**DECLARED, **plain, **recorded}


def _fits(name: str, ndim: int) -> bool:
    axes = DECLARED[name].axes if name in DECLARED else ()
    return len(axes) - sum(axis.optional for axis in axes) <= ndim <= len(axes)
