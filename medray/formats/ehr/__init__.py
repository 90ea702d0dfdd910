"""Tables of health records to events of subjects, as a mapping says: MIMIC, OMOP, any vendor's."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from medray.errors import DataError, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.ehr.lookups import lookup
from medray.formats.ehr.mapping import TableRule, load_mapping, shipped
from medray.formats.ehr.planning import Plan, assigned
from medray.formats.ehr.rules import Written, made_of
from medray.formats.ehr.tables import SUFFIXES, Stretch, sheet
from medray.formats.events.columns import EVENT_ARRAYS
from medray.formats.events.parts import PART_COLUMNS, Accounted, parts_of
from medray.formats.files import is_empty, nothing_found, open_path, walk
from medray.formats.packed import grouped
from medray.formats.signal.deidentify import Deidentify, Pseudonyms
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays

GROUP = 4  # inputs, of some 65,536 rows each, in a unit


class EhrOptions(FormatOptions):
    """Which mapping, and what of people is kept."""

    mapping: str | dict[str, Any] = Field(
        "omop",
        description="one that ships by its name, a file below the source or at an absolute path, "
        "or the mapping itself; docs/records.md has the form",
    )
    keep_text: bool = Field(
        False, description="keep the columns that rules call `text`: words may name people"
    )
    deidentify: Deidentify = Deidentify()

    @field_validator("mapping")
    @classmethod
    def _sound(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, dict):
            try:
                load_mapping(value)
            except SpecError as error:
                raise ValueError(error.message) from error
        return value


class Ehr(Format):
    """A sample is what one stretch of a table says of a subject; `gather` makes subjects whole."""

    name: ClassVar[str] = "ehr"
    Options: ClassVar[type[FormatOptions]] = EhrOptions
    options: EhrOptions

    def arrays(self) -> Arrays:
        """Columns of events."""
        return EVENT_ARRAYS

    def holds(self) -> Holds:
        """Events, and whose they are."""
        return Holds(named(EVENT_ARRAYS), names(PART_COLUMNS))

    def named(self) -> list[tuple[str, str]]:
        """The file of a mapping."""
        told = self.options.mapping
        return [("mapping", told)] if isinstance(told, str) and told not in shipped() else []

    def ready(self) -> None:
        """The key."""
        self._pseudonyms()

    def plan(self, source: Source) -> Found:
        """Every table is gone through once: its rows are counted and fingerprinted."""
        told, place = self.options.mapping, None
        if isinstance(told, str) and told not in shipped():
            source.fetch(told)
            place = source.place(told)
        mapping = load_mapping(told, place)
        files, refused = walk(source, SUFFIXES, own=(told,) if isinstance(told, str) else ())
        if is_empty(files, refused):
            nothing_found(source, "table of records", f"files end in {', '.join(SUFFIXES)}")
        if not files:  # all were refused, each with its reason
            return Found([], refused)
        found = assigned(mapping, files, refused)
        plan = Plan(source, mapping, found, self._pseudonyms().fingerprint)
        items: list[Input] = []
        for number, (name, rule) in enumerate(mapping.tables.items()):
            for file in found[name] if rule.events else ():
                try:
                    items += plan.inputs(name, file, number)
                except DataError as error:
                    refused.append(Refusal.of(file.path, error))
        return Found(grouped(items, samples=GROUP), refused, {"tables": list(mapping.tables)})

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """What the rows of a stretch say, by subject; rows that can't be read are refused."""
        extra = item.extra
        rule = TableRule.model_validate(extra["rule"])
        missing = frozenset(extra["missing"])
        file = sheet(open_path(source, item.paths[0]))
        cells = file.read(Stretch(**extra["stretch"]), extra["columns"], missing)
        columns, lacks = dict(cells.columns), dict[str, np.ndarray]()
        joins = zip(item.paths[1:], extra["joins"].items(), strict=True)
        for path, (other, (by, key, wanted)) in joins:
            there = lookup(open_path(source, path), other, key, wanted, missing)
            more, lacks[by] = there.of(columns[by])
            columns |= {f"{other}.{name}": column for name, column in more.items()}
        how = Written(**extra["how"])
        made = made_of(rule, columns, cells.rows, extra["number"], how, lacks)
        for bad in sorted([*cells.bad, *made.bad], key=lambda one: one.row):
            yield Refusal.of(item.key, bad.error, sample=f"{extra['of']}, row {bad.row + 1}")
        place = np.cumsum(made.sound) - 1  # of a row among those that are sound
        subjects = columns[rule.subject].filter(pa.array(made.sound))
        dropped = made.dropped[made.sound].tolist()
        rows = parts_of(
            Accounted(subjects, [extra["of"]] * len(subjects), dropped, made.unread[made.sound]),
            made.events,
            place[made.of_row],
            key=item.key,
            pseudonyms=self._pseudonyms(),
            keep_text=self.options.keep_text,
        )
        if rows is not None:
            yield rows

    def _pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(self.options.deidentify)
