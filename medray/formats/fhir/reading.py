"""Files of FHIR: resources one by one, and their events by column."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from medray.errors import DataError
from medray.formats.events.columns import BIRTH, Events
from medray.formats.events.times import moments, over
from medray.formats.fhir.resources import KINDS, TABLES, WITHDRAWN
from medray.formats.tabular.json_text import half, is_whole, may_hold_half
from medray.formats.tabular.text import BOM, Range, blocks, lines

MOST_BYTES = 2**30  # of a bundle, which is held whole
UNMAPPED, TAKEN_BACK, NO_EVENT = "unmapped kind", "withdrawn", "no time"
_NUMBERS = {kind: number for number, kind in enumerate(TABLES)}
NAMING = ("subject", "patient", "individual", "beneficiary")


@dataclass
class Read:
    """What was read of an input: resources, and events by column.

    Args:
        subjects: of each resource, "" where it names none.
        kinds: of each.
        dropped: why it made no event; empty: it made some.
        bad: number of a resource, from 0 → what is wrong with it.
        events: of each its resource, and its columns.
    """

    subjects: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    bad: dict[int, DataError] = field(default_factory=dict)
    owner: list[int] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    time: list[str | None] = field(default_factory=list)
    available: list[str | None] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    number: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    table: list[int] = field(default_factory=list)
    row: list[int] = field(default_factory=list)

    def take(
        self,
        code: str,
        time: str | None,
        *,
        available: str | None = None,
        value: Any = None,
        unit: str = "",
        number: str = "",
        text: str = "",
    ) -> None:
        """An event of the resource at hand.

        Raises:
            TypeError: what should be a text is none.
        """
        timed = (time is None or type(time) is str) and (not available or type(available) is str)
        if not (timed and type(code) is type(unit) is type(number) is type(text) is str):
            raise TypeError
        self.owner.append(len(self.subjects))
        self.code.append(code)
        self.time.append(time)
        self.available.append(available)
        self.value.append(np.nan if value is None else float(value))
        self.unit.append(unit)
        self.number.append(number)
        self.text.append(text)

    def cut(self, events: int) -> None:
        """Take back every event after the first so many."""
        for values in (self.owner, self.code, self.time, self.available, self.value):
            del values[events:]
        for texts in (self.unit, self.number, self.text):
            del texts[events:]


def read(path: Path, piece: Range | None) -> Read:
    """Resources of a bundle, or of a piece of lines.

    Raises:
        DataError: as of `resources`.
    """
    found = Read()
    with without_collector():
        for resource, names in resources(path, piece):
            if isinstance(resource, DataError):
                _refuse(found, "?", resource)
            else:
                _one(found, resource, names)
    return found


def resources(path: Path, piece: Range | None) -> Iterator[tuple[Any, dict[str, str]]]:
    """Each resource of a bundle, or of a piece of lines, and the ids of patients by the addresses
    that others name them by; a DataError in place of a line that is no JSON ("bad-json"), and of a
    line or an entry that escapes half of a character ("not-utf8").

    Raises:
        DataError: it is no JSON ("bad-json"), no bundle and no resource ("no-resource"), or too
            large to be held ("too-large"); as of `blocks`.
    """
    if piece is None:
        yield from _of_document(*_parsed(b"".join(_limited(path)).removeprefix(BOM)))
        return
    for line in lines(path, piece):
        if not line.strip():
            continue
        try:
            resource, whole = _parsed(line)
        except DataError:
            resource, whole = DataError("the line is no JSON", code="bad-json"), True
        yield (resource if whole or is_whole(resource) else half()), {}


def _parsed(data: bytes) -> tuple[Any, bool]:
    """What a document says, and whether every text in it is sure to be whole: orjson takes none
    that escapes half of a character, so that such a document is read once more by `json`.

    Raises:
        DataError: it is no JSON (code "bad-json").
    """
    import orjson

    try:
        return orjson.loads(data), True
    except orjson.JSONDecodeError as error:
        if may_hold_half(data):
            with suppress(ValueError, RecursionError):
                return json.loads(data, parse_constant=_no_number), False
        raise DataError("the file is no JSON", code="bad-json") from error


def _no_number(name: str) -> None:
    raise ValueError(name)  # NaN and infinities are none in JSON


def _limited(path: Path) -> Iterator[bytes]:
    size = 0
    for block in blocks(path):
        size += len(block)
        if size > MOST_BYTES:
            raise DataError(
                "the bundle is larger than a GiB", code="too-large", hint="export it as NDJSON"
            )
        yield block


def _of_document(document: Any, whole: bool) -> Iterator[tuple[Any, dict[str, str]]]:
    kind = document.get("resourceType") if isinstance(document, dict) else None
    if kind is None:
        raise DataError("the file holds no FHIR resource", code="no-resource")
    if kind != "Bundle":
        yield (document if whole or is_whole(document) else half()), {}
        return
    entries = document.get("entry", [])
    if not isinstance(entries, list):
        raise DataError("the bundle's entries are no list", code="bad-bundle")
    if not whole:
        entries = [one if is_whole(one) else {"resource": half()} for one in entries]
    names = {}
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Patient":
            address = entry.get("fullUrl")
            if isinstance(address, str) and isinstance(resource.get("id"), str):
                names[address] = resource["id"]
    for entry in entries:
        yield (entry.get("resource") if isinstance(entry, dict) else None), names


def _one(found: Read, resource: Any, names: dict[str, str]) -> None:
    """A resource, whatever it is."""
    try:
        kind = resource["resourceType"]
        known = KINDS.get(kind)
        if known is None:
            _note(found, subject_of(resource, names), _name(kind), UNMAPPED)
            return
        subject = resource["id"] if kind == "Patient" else subject_of(resource, names)
        if not isinstance(subject, str) or not subject:
            raise DataError("the resource names no patient", code="no-subject")
        withdrawn = "verificationStatus" in resource and _is_withdrawn(resource)
        if withdrawn or resource.get("status") in WITHDRAWN:
            _note(found, subject, kind, TAKEN_BACK)
            return
        before = len(found.owner)
        known(resource, found.take)
    except DataError as error:
        _refuse(found, _name(resource.get("resourceType")), error)
        return
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        name = _name(resource.get("resourceType")) if isinstance(resource, dict) else "?"
        found.cut(len(found.table))  # what it made before it broke
        form = DataError("the resource has not the form of FHIR R4", code="bad-resource")
        _refuse(found, name, form)
        return
    made = len(found.owner) - before
    row = xxh3_64_intdigest(f"{kind}/{resource.get('id', '')}".encode()) >> 1
    found.table += [_NUMBERS[kind]] * made
    found.row += [row] * made
    _note(found, subject, kind, "" if made else NO_EVENT)


def _note(found: Read, subject: str, kind: str, why: str) -> None:
    found.subjects.append(subject)
    found.kinds.append(kind)
    found.dropped.append(why)


def _refuse(found: Read, kind: str, error: DataError) -> None:
    found.bad[len(found.subjects)] = error
    _note(found, "", kind, "")


def subject_of(resource: Any, names: dict[str, str]) -> str:
    """Id of the patient that a resource names; empty where it names none."""
    for name in NAMING:
        held = resource.get(name)
        address = held.get("reference") if isinstance(held, dict) else None
        if isinstance(address, str):
            if address in names:
                return names[address]
            if address.startswith("urn:uuid:"):
                return address[9:]
            parts = address.split("/")
            if "Patient" in parts[:-1]:
                return parts[parts.index("Patient") + 1]
    return ""


def _is_withdrawn(resource: Any) -> bool:
    state = resource.get("verificationStatus")
    if not isinstance(state, dict):
        return False
    return any(one.get("code") in WITHDRAWN for one in state.get("coding", ()))


def _name(kind: Any) -> str:
    """The kind of a resource, where it looks like one."""
    fits = isinstance(kind, str) and kind.isascii() and kind.isalpha() and len(kind) <= 64
    return str(kind) if fits else "?"


@contextmanager
def without_collector() -> Iterator[None]:
    """Without the collector of cycles, which looks at all that was parsed again and again: there
    are none in JSON, and orjson alone takes twice as long with it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def events_of(found: Read) -> tuple[Events, np.ndarray]:
    """Events by column, and the resource of each; those whose times can't be read make their
    resource bad, which has no event then.

    A date alone is known when its day is over, a month or a year when that is, a birth at once.
    """
    owner = np.array(found.owner, np.int64)
    times = pa.array(found.time, pa.string())
    when, known = moments(times), moments(pa.array(found.available, pa.string()))
    for at in np.flatnonzero(when.bad | known.bad).tolist():
        error = DataError("a time of the resource can't be read", code="bad-time")
        found.bad.setdefault(int(owner[at]), error)
    sound = ~np.isin(owner, list(found.bad)) if found.bad else np.ones(len(owner), bool)
    told = over(pa.array(found.available, pa.string()), known.values)
    born = np.array([code == BIRTH for code in found.code], bool)
    ended = np.where(born, when.values, over(times, when.values))
    available = np.maximum(told, ended)
    value = np.array(found.value, np.float64)
    with np.errstate(over="ignore"):
        changed = np.isfinite(value) & (value.astype(np.float32).astype(np.float64) != value)
    number = found.number
    for at in np.flatnonzero(changed).tolist():
        number[at] = repr(found.value[at])
    events = Events(
        time=when.values,
        available_at=available,
        numeric_value=value,
        origin=np.array(found.table, np.int16),
        row=np.array(found.row, np.int64),
        code=pa.array(found.code, pa.string()),
        unit=pa.array(found.unit, pa.string()),
        number=pa.array(number, pa.string()),
        words=pa.array(found.text, pa.string()),
    )
    if sound.all():
        return events, owner
    return events.take(np.flatnonzero(sound)), owner[sound]
