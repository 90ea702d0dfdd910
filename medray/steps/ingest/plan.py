"""Plan an ingest: what a format found becomes units, and inputs keep those they were in."""

from typing import Any

from medray.engine.units.operation import Unit
from medray.formats.base import Found
from medray.formats.packed import Packed, grouped, pack
from medray.ids import unit_id
from medray.steps.base.planned import Planned, no_key_twice
from medray.steps.ingest.regroup import Earlier, regroup


def plan_ingest(
    found: Found,
    *,
    name: str,
    identity: dict[str, Any],
    samples: int | None = None,
    before: Earlier | None = None,
) -> Planned:
    """Units of an ingest.

    Args:
        found: what the format found in the source.
        name: of the format.
        identity: everything but the inputs that decides what is made.
        samples: inputs per unit, about; None keeps the format's own groups.
        before: an earlier plan of the same; its inputs keep their units.
    """

    def identify(group: Packed) -> str:
        return unit_id(f"ingest/{name}", identity, [group.hash])

    groups = [pack(group) for group in found.groups]
    if samples is not None:
        groups = grouped((item for group in groups for item in group), samples=samples)
    no_key_twice(key for group in groups for key in group.keys)
    if before is not None:
        groups = regroup(groups, before, identify, samples)
    units = [
        Unit(identify(group), index, group.keys, group.payload)
        for index, group in enumerate(groups)
    ]
    return Planned(units, found.refused)
