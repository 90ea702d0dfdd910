"""Plans that grow: inputs keep the units they were planned into, new ones get units of their own.

Cut anew, every group that a new file falls into would be another unit: 5 % new files in groups of
64 would compute nearly all of a dataset again.

<root>/datasets/<name>/plans/<spec>.json    {"run": …, "samples": …}: whose plan to go on from
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from medray.errors import DamageError
from medray.formats.packed import Packed, grouped, pack
from medray.steps.base.plans import read_plan
from medray.steps.base.successors import origins, units_that_gave_way
from medray.storage.catalog.ledger import Ledger
from medray.storage.store.damage import damage
from medray.storage.store.documents import Count, keep, read
from medray.storage.store.objects import Objects

COLUMNS = ["unit", "input"]
Identify = Callable[[Packed], str]


@dataclass(frozen=True)
class Earlier:
    """The newest plan of the same step.

    Args:
        units: inputs' keys by unit, in the plan's order.
        samples: inputs per unit that the job asked for then.
        committed: units that are done; left out where the job asks for units of the same size.
    """

    units: dict[str, list[str]]
    samples: int | None
    committed: frozenset[str]


@dataclass(frozen=True)
class _Planned:
    run: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*-[0-9a-f]+$")]
    samples: Count | None


def earlier(objects: Objects, output: str, spec: str, samples: int | None) -> Earlier | None:
    """The newest plan of a step, if it was ever planned.

    Args:
        objects: the storage root.
        output: dataset that the step makes.
        spec: hash of the step without its inputs.
        samples: inputs per unit that the job asks for.
    """
    try:
        known = read(objects, _path(output, spec), _Planned)
        table = read_plan(objects, known.run, COLUMNS)
    except FileNotFoundError:
        return None
    except DamageError as error:
        raise damage(error.message, error.code, error.about, output) from error
    first = origins(units_that_gave_way(objects, output))
    units: dict[str, list[str]] = {}
    for unit, key in zip(table["unit"].to_pylist(), table["input"].to_pylist(), strict=True):
        units.setdefault(first.get(unit, unit), []).append(key)
    # To list 50,000 commits takes 0.2 s, and is of no use where units are of the size they were.
    done = Ledger(objects, output).done() if samples != known.samples else ()
    return Earlier(units, known.samples, frozenset(done))


def forget_damaged(objects: Objects, output: str) -> int:
    """Let go of plans that can't be read; the next one is made anew, and what is committed stays.

    Args:
        objects: the storage root.
        output: dataset that the plans were for.

    Returns:
        How many.
    """
    gone: list[str] = []
    paths = (entry.path for entry in objects.walk(f"datasets/{output}/plans"))
    for path in [path for path in paths if path.endswith(".json")]:
        run = ""
        try:
            run = read(objects, path, _Planned).run
            read_plan(objects, run, COLUMNS)
        except FileNotFoundError:
            continue
        except DamageError:
            objects.delete([path, *([f"runs/{run}/plan.parquet"] if run else [])])
            gone.append(path)
    return len(gone)


def remember(objects: Objects, output: str, spec: str, run: str, samples: int | None) -> None:
    """Let the next plan of this step go on from that of `run`."""
    data = json.dumps({"run": run, "samples": samples}).encode()
    keep(objects, _path(output, spec), data)


def regroup(
    groups: list[Packed], before: Earlier, identify: Identify, samples: int | None
) -> list[Packed]:
    """The inputs of `groups`, those of `before` in the groups they were in.

    A group is kept whole, if each input of it is there unchanged: its unit's id tells. Where the
    job asks for another size of units now, only what is committed is kept. The order is that of the
    groups' first inputs, so equal inputs and an equal past make an equal plan.

    Args:
        groups: as the plan would have them without a past.
        before: the past.
        identify: the id of a group's unit.
        samples: inputs per unit that the job asks for.
    """
    units = {
        unit: keys
        for unit, keys in before.units.items()
        if samples == before.samples or unit in before.committed
    }
    here = {identify(group): group for group in groups}
    kept = [group for unit, group in here.items() if unit in units]
    loose = (group for unit, group in here.items() if unit not in units)
    items = {item.key: item for group in loose for item in group}
    for unit, keys in units.items():
        if unit in here:
            continue
        group = [items[key] for key in keys if key in items]
        if len(group) == len(keys) and identify(packed := pack(group)) == unit:
            kept.append(packed)
            for key in keys:
                del items[key]
    if not kept:
        return groups
    size = samples or -(-sum(map(len, groups)) // len(groups))
    made = [*kept, *grouped(items.values(), samples=size)]
    firsts = {group.keys[0] for group in made}
    keys_in_order = (key for group in groups for key in group.keys)
    place = {key: number for number, key in enumerate(keys_in_order) if key in firsts}
    return sorted(made, key=lambda group: place[group.keys[0]])


def _path(output: str, spec: str) -> str:
    return f"datasets/{output}/plans/{spec}.json"
