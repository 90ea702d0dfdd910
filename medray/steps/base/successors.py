"""Second chances: units that refused inputs for a reason that is mended since are done again.

<root>/datasets/<name>/successors/<unit>.json    {"codes": …, "at": …}: the unit gave way to another

A commit stands for good, and versions name it. So a unit that is to be done again gives way to a
successor, whose id follows from its own: who plans the unit from then on plans the successor, and
of two who ask at once both mean the same.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from medray.clock import SYSTEM, Clock, stamp
from medray.engine.units.operation import Unit
from medray.errors import SpecError
from medray.storage.catalog.audit import record
from medray.storage.catalog.ledger import Ledger, successor, successor_path
from medray.storage.catalog.versions import check_name
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.storage.catalog.commits import Commits


def give_way(
    objects: Objects, name: str, codes: Collection[str], clock: Clock = SYSTEM
) -> "Commits":
    """Let the units of a dataset that refused something for one of `codes` be done again.

    The next run of the job does them; what they committed before stays for the versions that name
    it.

    Args:
        objects: the storage root.
        name: of the dataset that the units make.
        codes: of refusals.
        clock: stamps the records.

    Returns:
        What the units had committed.

    Raises:
        SpecError: nothing is refused for these (code "nothing-to-retry").
    """
    ledger, gave_way = Ledger(objects, check_name(name)), units_that_gave_way(objects, name)
    ids = [unit for unit in ledger.done() if unit not in gave_way]
    commits = ledger.committed(ids)
    found = [unit for unit, rows in commits.refused.items() if any(r.code in codes for r in rows)]
    if not found:
        known = sorted({item.code for item in commits.refusals})
        raise SpecError(
            f"no unit refused anything as {', '.join(sorted(codes))}",
            code="nothing-to-retry",
            about=name,
            hint=f"codes of its refusals: {', '.join(known) or 'none'}; what was refused while "
            "planning is looked at anew by every run",
        )
    details = {"codes": sorted(codes), "at": stamp(clock)}
    for unit in found:
        objects.put_new(successor_path(name, unit), json.dumps(details).encode())
    record(objects, what="retry", about=name, details={**details, "units": len(found)}, clock=clock)
    return commits.of_units(found)


def units_that_gave_way(objects: Objects, name: str) -> set[str]:
    """Units of a dataset that gave way to successors."""
    return _named(objects, f"datasets/{name}/successors")


def origins(gave_way: Collection[str]) -> dict[str, str]:
    """By successor, the unit as it was first planned."""
    before = {successor(unit): unit for unit in gave_way}
    first = {}
    for unit, origin in before.items():
        while origin in before:
            origin = before[origin]
        first[unit] = origin
    return first


def with_successors(units: Iterable[Unit], objects: Objects, name: str) -> list[Unit]:
    """Units of a plan; those that gave way are replaced by their successors."""
    gave_way = units_that_gave_way(objects, name)
    if not gave_way:
        return list(units)
    newest = []
    for unit in units:
        known = unit.id
        while known in gave_way:
            known = successor(known)
        newest.append(replace(unit, id=known))
    return newest


def _named(objects: Objects, folder: str) -> set[str]:
    return {entry.path.rsplit("/", 1)[1].removesuffix(".json") for entry in objects.walk(folder)}
