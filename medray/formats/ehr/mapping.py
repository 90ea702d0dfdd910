"""What a mapping file says: which tables there are, and which events a row of each makes."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from medray.errors import SpecError
from medray.formats.events.times import Duration, moment
from medray.spec.base import Settings

SHIPPED = Path(__file__).parent / "mappings"
STATIC = "static"
MOST_BYTES = 2**20  # of a mapping file
_FIELD = re.compile(r"\{([^{}]*)\}")
_AFTER = re.compile(r"(.*\S)\s*\+\s*(\d+(?:\.\d+)?\s*[smhd])\s*")


class When(Settings):
    """A time: a column, or so many units since one."""

    column: str = Field(description="its name; or text with {columns}, such as '{day} {clock}'")
    unit: Literal["second", "minute", "hour", "day", "year"] | None = Field(
        None, description="the column holds so many of these since `since`"
    )
    since: str = Field("", description="a column with the time that is counted from, or a date")
    back: bool = Field(False, description="counted backwards, as births are by ages")
    values: dict[str, float] = Field(
        {}, description="texts of a column of units that stand for numbers, such as '> 89': 90"
    )
    plus: Duration | None = Field(None, description="added to it, such as 24h")
    format: str = Field("", description="of strptime; empty: ISO 8601, or as the mapping says")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.unit is None) != (not self.since):
            raise ValueError("`unit` and `since` go together: so many minutes since admission")
        return self

    @property
    def columns(self) -> list[str]:
        """That it looks at."""
        named = fields_of(self.column) or [self.column]
        return [*named, *([self.since] if self.since and not is_date(self.since) else [])]


def _short(value: Any) -> Any:
    """`column` and `column + 24h` in place of an object."""
    if not isinstance(value, str) or value == STATIC:
        return value
    found = _AFTER.fullmatch(value)
    return {"column": found[1], "plus": found[2]} if found else {"column": value}


def _several(value: Any) -> Any:
    """One time in place of a list of one."""
    if value is None:
        return ()
    return [_short(one) for one in value] if isinstance(value, list | tuple) else [_short(value)]


def is_date(text: str) -> bool:
    """Whether a text is a date and no name of a column."""
    try:
        moment(text)
    except ValueError:
        return False
    return True


class EventRule(Settings):
    """An event that a row makes, unless a column that its code or time needs is blank; or, of a
    code without columns, that of its number."""

    code: str = Field(description="text with {columns} in it, such as ICD9CM//{icd9_code}")
    time: Annotated[When | Literal["static"], BeforeValidator(_short)] = Field(
        description="column, `column + 24h`, {column, unit, since}, or static: it is always so"
    )
    available: Annotated[tuple[When, ...], BeforeValidator(_several)] = Field(
        (),
        description="when it could first be known, written as `time`, or several of which the "
        "first that is not blank counts; without one: at its time, a date alone when it is over",
    )
    number: str | None = Field(None, description="column with its number")
    values: dict[str, float] = Field(
        {}, description="texts of that column that stand for numbers, such as '> 89': 90"
    )
    unit: str | None = Field(None, description="of the number: text with {columns} in it")
    text: str | None = Field(None, description="column with words; kept if the job says so")
    where: dict[str, str | list[str]] = Field(
        {}, description="only of rows whose columns have these values"
    )
    split: str = Field(
        "", description="what parts several codes in the one cell that `code` is made of"
    )
    vocabularies: dict[str, str] = Field(
        {}, description="vocabulary → pattern of its codes: the first that fits stands before //"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.code.strip() or "\0" in self.code:
            raise ValueError("a code is a text")
        if self.split and len(fields_of(self.code)) != 1:
            raise ValueError("`split` goes with a code of one column")
        for pattern in self.vocabularies.values():
            try:  # by the engine that uses it, whose time is bounded; it knows no lookahead
                pc.match_substring_regex(pa.array([""]), f"^(?:{pattern})$")
            except pa.ArrowInvalid as error:
                raise ValueError(f"{pattern!r} is no pattern of RE2") from error
        return self

    @property
    def columns(self) -> list[str]:
        """That it looks at."""
        times = [one for one in (self.time, *self.available) if isinstance(one, When)]
        single = [one for one in (self.number, self.text) if one]
        named = [*fields_of(self.code), *fields_of(self.unit or ""), *single, *self.where]
        return [*named, *(column for one in times for column in one.columns)]


class TableRule(Settings):
    """One table, and what its rows make."""

    file: str = Field("", description="name of its files, without endings; empty: the table's own")
    subject: str = Field("", description="column with the subject's id; empty: it makes no events")
    key: str = Field("", description="column whose values name one row each, to be joined by")
    join: dict[str, str] = Field(
        {}, description="table → column here that holds its key; its columns are `table.column`"
    )
    optional: bool = Field(False, description="it need not be there")
    events: tuple[EventRule, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.events and not self.subject:
            raise ValueError("a table with events names the column of the `subject`")
        if not self.events and not self.key:
            raise ValueError("a table has `events`, or a `key` to be joined by")
        return self

    @property
    def columns(self) -> list[str]:
        """That its rows are looked at for, without those that are only joined by."""
        named = [self.subject] if self.subject else []
        return list(dict.fromkeys([*named, *(c for rule in self.events for c in rule.columns)]))


class Mapping(Settings):
    """Tables of one source."""

    tables: dict[str, TableRule] = Field(min_length=1)
    time_format: str = Field("", description="of strptime, of all times; empty: ISO 8601")
    decimal: Literal[".", ","] = Field(".", description="of numbers")
    missing: tuple[str, ...] = Field(
        ("", "NULL", "null", "NA", "N/A", "NaN", "nan", "None", "\\N"),
        description="cells that hold nothing",
    )

    def joined(self, name: str, other: str) -> list[str]:
        """Columns of another table that the rows of one are looked at for."""
        prefix = f"{other}."
        named = self.tables[name].columns
        return [column.removeprefix(prefix) for column in named if column.startswith(prefix)]


def fields_of(template: str) -> list[str]:
    """The columns that a text with {columns} in it names, in order."""
    return _FIELD.findall(template)


def pieces_of(template: str) -> list[tuple[str, str]]:
    """Of a text with {columns} in it each (words, column behind them); the last has no column."""
    parts = _FIELD.split(template)
    return list(zip(parts[::2], [*parts[1::2], ""], strict=True))


def load_mapping(told: str | dict[str, Any], place: Path | None = None) -> Mapping:
    """A mapping: one that ships by its name, one that stands in the job, or a file.

    Args:
        told: as the job has it.
        place: of the file.

    Raises:
        SpecError: there is none of that name ("no-such-mapping"), or it is wrong ("bad-mapping").
    """
    if isinstance(told, dict):
        return _validated(told, "the mapping of the job")
    if told in shipped():
        return _read(SHIPPED / f"{told}.yaml", told)
    if place is None or not place.is_file():
        raise SpecError(
            "there is no such mapping",
            code="no-such-mapping",
            about=told,
            hint=f"name a file below the source, or one of {', '.join(shipped())}",
        )
    return _read(place, told)


@lru_cache(1)
def shipped() -> tuple[str, ...]:
    """Names of the mappings that come with medray."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def _read(place: Path, about: str) -> Mapping:
    if place.stat().st_size > MOST_BYTES:
        raise _bad(about, "the file is larger than a MiB")
    try:
        document = yaml.safe_load(place.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise _bad(about, f"it is no YAML{line}") from error
    return _validated(document, about)


def _validated(document: Any, about: str) -> Mapping:
    try:
        return _agreeing(_lowered(Mapping.model_validate(document)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        told = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise _bad(about, told) from error
    except ValueError as error:
        raise _bad(about, str(error)) from error


def _agreeing(mapping: Mapping) -> Mapping:
    """The mapping, if its tables fit each other."""
    for name, table in mapping.tables.items():
        if "." in name:
            raise ValueError(f"{name}: a table's name has no dot")
        for other in table.join:
            if other not in mapping.tables or not mapping.tables[other].key:
                raise ValueError(f"{name} joins {other}, which is no table with a `key`")
        for column in table.columns:
            there, dot, _ = column.partition(".")
            if dot and there not in table.join:
                raise ValueError(f"{name} has {column}, and does not `join` {there}")
    return mapping


def _lowered(mapping: Mapping) -> Mapping:
    """All names of tables and columns in lower case: some releases have them in upper."""
    tables = {name.lower(): _lowered_table(table) for name, table in mapping.tables.items()}
    if len(tables) < len(mapping.tables):
        raise ValueError("two tables differ in upper and lower case alone")
    return mapping.model_copy(update={"tables": tables})


def _lowered_table(table: TableRule) -> TableRule:
    joins = {other.lower(): column.lower() for other, column in table.join.items()}
    events = tuple(map(_lowered_event, table.events))
    named = {"subject": table.subject.lower(), "key": table.key.lower()}
    return table.model_copy(update={**named, "join": joins, "events": events})


def _lowered_event(rule: EventRule) -> EventRule:
    named = {name: getattr(rule, name) for name in ("number", "text")}
    return rule.model_copy(
        update={
            "code": _lowered_fields(rule.code),
            "unit": None if rule.unit is None else _lowered_fields(rule.unit),
            "time": _lowered_time(rule.time),
            "available": tuple(map(_lowered_time, rule.available)),
            "where": {column.lower(): values for column, values in rule.where.items()},
            **{name: column and column.lower() for name, column in named.items()},
        }
    )


def _lowered_fields(template: str) -> str:
    return _FIELD.sub(lambda found: found[0].lower(), template)


def _lowered_time(when: When | str) -> When | str:
    if isinstance(when, str):
        return when
    return when.model_copy(update={"column": when.column.lower(), "since": when.since.lower()})


def _bad(about: str, what: str) -> SpecError:
    return SpecError(
        what, code="bad-mapping", about=about, hint="docs/records.md has the form of mappings"
    )
