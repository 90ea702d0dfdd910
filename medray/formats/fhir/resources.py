"""Resources of FHIR R4 as events: what happened, when, and when it could be known.

Whatever says how something ended is known when it ended: ends of encounters and conditions,
discharges. Results are known when they were issued, conditions when they were recorded. What stands
in a resource as it is now, such as whether a condition is active, is not taken: at an earlier time
it was another.
"""

from collections.abc import Callable, Mapping
from typing import Any

from medray.formats.events.columns import BIRTH
from medray.formats.fhir.coding import UNCODED, code_of

Resource = Mapping[str, Any]
Take = Callable[..., None]
"""Takes an event: `code` and `time`, and where they are told `available`, `value`, `unit` and
`text`; times are texts, None is static."""
WITHDRAWN = frozenset({"entered-in-error", "cancelled", "not-done"})


def patient(resource: Resource, take: Take) -> None:
    """Birth, death, and what is always so."""
    if gender := resource.get("gender"):
        take(f"GENDER//{gender}", None)
    for extension in resource.get("extension", ()):
        kind = extension.get("url", "").rpartition("/")[2]
        if kind in ("us-core-race", "us-core-ethnicity"):
            for inner in extension.get("extension", ()):
                if inner.get("url") == "ombCategory":
                    take(f"{kind.rpartition('-')[2].upper()}//{inner['valueCoding']['code']}", None)
    if born := resource.get("birthDate"):
        take(BIRTH, born)
    if died := resource.get("deceasedDateTime"):
        take("MEDS_DEATH", died)


def encounter(resource: Resource, take: Take) -> None:
    """Its begin, its kinds, its end and where it led."""
    period, kind = resource.get("period", {}), resource.get("class", {}).get("code", "unknown")
    start, end = period.get("start"), period.get("end")
    if start:
        take(f"ENCOUNTER//{kind}", start)
        for concept in resource.get("type", ()):
            take(f"ENCOUNTER_TYPE//{code_of(concept)}", start)
    if end:
        take(f"ENCOUNTER_END//{kind}", end)
        if left := resource.get("hospitalization", {}).get("dischargeDisposition"):
            take(f"DISCHARGE//{code_of(left)}", end)


def condition(resource: Resource, take: Take) -> None:
    """When it began and ended; a record that came later was known later."""
    code = code_of(resource.get("code"))
    recorded = resource.get("recordedDate")
    onset = resource.get("onsetDateTime") or resource.get("onsetPeriod", {}).get("start")
    if first := onset or recorded:
        take(code, first, available=recorded)
    end = resource.get("abatementDateTime") or resource.get("abatementPeriod", {}).get("end")
    if end:
        take(f"CONDITION_END//{code}", end, available=recorded)


def observation(resource: Resource, take: Take) -> None:
    """Its value, or those of its components; known when it was issued."""
    period = resource.get("effectivePeriod", {})
    issued = resource.get("issued")
    when = (
        resource.get("effectiveDateTime")
        or resource.get("effectiveInstant")
        or period.get("end")
        or period.get("start")
        or issued
    )
    if when is None:
        return
    components = resource.get("component", ())
    if not components or any(name.startswith("value") for name in resource):
        _valued(code_of(resource.get("code")), resource, when, issued, take)
    for component in components:
        _valued(code_of(component.get("code")), component, when, issued, take)


def _valued(code: str, resource: Resource, when: str, issued: str | None, take: Take) -> None:
    if quantity := resource.get("valueQuantity"):
        unit = quantity.get("code") or quantity.get("unit") or ""
        bound = quantity.get("comparator")
        value = quantity.get("value")
        if bound and value is not None:  # "<0.1" is no 0.1
            take(code, when, available=issued, unit=unit, number=f"{bound}{value}")
        else:
            take(code, when, available=issued, value=value, unit=unit)
    elif concept := resource.get("valueCodeableConcept"):
        answer = code_of(concept)
        take(code if answer == UNCODED else f"{code}//{answer}", when, available=issued)
    elif text := resource.get("valueString"):
        take(code, when, available=issued, text=text)
    else:
        value = resource.get("valueInteger")
        if value is None and (told := resource.get("valueBoolean")) is not None:
            value = int(told)
        take(code, when, available=issued, value=value)


def medication(*times: str) -> Callable[[Resource, Take], None]:
    """A medicine, at the first of some times that is told."""

    def read(resource: Resource, take: Take) -> None:
        concept = resource.get("medicationCodeableConcept")
        if when := _first(resource, times):
            take(code_of(concept), when)

    return read


def coded(field: str, *times: str, known: str = "") -> Callable[[Resource, Take], None]:
    """The code in a field, at the first of some times, known at another where that is told."""

    def read(resource: Resource, take: Take) -> None:
        concept = resource.get(field)
        if isinstance(concept, list):
            concept = concept[0] if concept else None
        if when := _first(resource, times):
            take(code_of(concept), when, available=_first(resource, (known,)) if known else None)

    return read


def _first(resource: Resource, times: tuple[str, ...]) -> str | None:
    """The first that is told of fields, such as `performedPeriod.start`."""
    for path in times:
        name, _, inner = path.partition(".")
        found = resource.get(name)
        if inner and isinstance(found, Mapping):
            found = found.get(inner)
        if isinstance(found, str):
            return found
    return None


KINDS: dict[str, Callable[[Resource, Take], None]] = {
    "Patient": patient,
    "Encounter": encounter,
    "Condition": condition,
    "Observation": observation,
    "Procedure": coded(
        "code", "performedDateTime", "performedPeriod.start", known="performedPeriod.end"
    ),
    "Immunization": coded("vaccineCode", "occurrenceDateTime", known="recorded"),
    "DiagnosticReport": coded(
        "code", "effectiveDateTime", "effectivePeriod.end", "issued", known="issued"
    ),
    "AllergyIntolerance": coded("code", "recordedDate", "onsetDateTime"),
    "CarePlan": coded("category", "period.start"),
    "ServiceRequest": coded("code", "authoredOn"),
    "ImagingStudy": coded("procedureCode", "started"),
    "MedicationRequest": medication("authoredOn"),
    "MedicationAdministration": medication("effectiveDateTime", "effectivePeriod.start"),
    "MedicationDispense": medication("whenHandedOver", "whenPrepared"),
    "MedicationStatement": medication("dateAsserted", "effectiveDateTime"),
}
"""Kinds of resource that are read; all others are counted by their names."""
TABLES = tuple(KINDS)
