"""Events as tests look at them: whatever a format reads, in plain values."""

import json
from pathlib import Path
from typing import Any

from medray.errors import DataError
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.formats.events.columns import NEVER, TEXTS
from medray.formats.events.times import iso
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample

Event = dict[str, Any]


class Read:
    """What a format reads of a source.

    Args:
        events: by subject, in order of the inputs.
        told: table → [rows, events, dropped by reason].
        refused: what was not taken, of the plan and of inputs.
    """

    def __init__(self, name: str, root: Path, **options: Any) -> None:
        kind = FORMATS.get(name)
        form, source = kind(kind.Options.model_validate(options)), Source(root)
        plan = form.plan(source)
        self.refused: list[Refusal] = list(plan.refused)
        self.events: dict[str, list[Event]] = {}
        self.told: dict[str, list[Any]] = {}
        self.tables = plan.attributes["tables"]
        for group in plan.groups:
            for item in group:
                try:
                    made = list(form.read(source, item))
                except DataError as error:
                    made = [Refusal.of(item.key, error)]
                for one in made:
                    if isinstance(one, Refusal):
                        self.refused.append(one)
                    elif isinstance(one, Rows):
                        for sample in one.each():
                            self._take(sample)

    def _take(self, sample: Sample) -> None:
        found = events_of(sample, self.tables)
        self.events.setdefault(sample.row["subject"], []).extend(found)
        for name, (rows, events, dropped) in json.loads(sample.row["told"]).items():
            held = self.told.setdefault(name, [0, 0, {}])
            held[0] += rows
            held[1] += events
            for why, count in dropped.items():
                held[2][why] = held[2].get(why, 0) + count

    @property
    def rows(self) -> int:
        """Of the source that are accounted for: taken, dropped, or refused by themselves."""
        refused = sum(", row " in one.sample for one in self.refused)
        return sum(rows for rows, _, _ in self.told.values()) + refused

    def codes(self, code: str) -> list[Event]:
        """All events of a code."""
        return [one for events in self.events.values() for one in events if one["code"] == code]


def events_of(sample: Sample, tables: list[str]) -> list[Event]:
    """The events of a subject."""
    arrays: dict[str, Any] = dict(sample.arrays)
    texts = {name: bytes(arrays[name]).decode().split("\0")[:-1] for name in TEXTS}
    made = []
    for at, time in enumerate(arrays["time"].tolist()):
        value = float(arrays["numeric_value"][at])
        known = int(arrays["available_at"][at])
        made.append(
            {
                "time": None if time == NEVER else iso(time),
                "available_at": None if known == NEVER else iso(known),
                "value": None if value != value else value,
                "table": tables[int(arrays["origin"][at])],
                "row": int(arrays["row"][at]),
                **{name: texts[name][at] for name in TEXTS},
            }
        )
    return made
