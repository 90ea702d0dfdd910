"""From what stands in a table to what a sample's row says."""

from collections.abc import Mapping
from typing import Any

from medray.errors import DataError
from medray.formats.table.options import TableOptions
from medray.formats.tabular.numbers import MISSING

EXACT = 2**53  # whole numbers up to here are exact as floats


def row_of(options: TableOptions, sample_id: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a sample.

    Args:
        options: what the columns mean.
        sample_id: stands in for a subject where no column holds it.
        known: values of the columns that are no features, as text or as Parquet has them.

    Raises:
        DataError: a value is not what its column should hold ("bad-label", "bad-value").
    """
    row: dict[str, Any] = {"subject": sample_id}
    if options.subject is not None:
        row["subject"] = _text(known, options.subject) or sample_id
    if options.split is not None:
        row["split"] = _text(known, options.split)
    if options.fold is not None:
        row["fold"] = _whole(options, known, options.fold)
    if options.targets:
        row |= _targets(options, known)
    for name, kind in options.columns.items():
        match kind:
            case "text":
                row[name] = _text(known, name)
            case "integer":
                row[name] = _whole(options, known, name)
            case "number":
                row[name] = _number(options, known, name)
    return row


def _targets(options: TableOptions, known: Mapping[str, Any]) -> dict[str, Any]:
    if options.classes:
        # A class may be called None or NA: what `classes` names is no gap.
        text = _stripped(known, options.targets[0])
        if text not in options.classes and text in MISSING:
            return {"target": None, "class_name": None, "has_label": False}
        if text not in options.classes:
            raise DataError("the target names no class", code="bad-label", hint="see `classes`")
        return {"target": options.classes.index(text), "class_name": text, "has_label": True}
    values = [_number(options, known, name) for name in options.targets]
    whole = [
        int(value) if value is not None and value.is_integer() and abs(value) < EXACT else value
        for value in values
    ]
    told = any(value is not None for value in whole)
    return {"target": whole[0] if isinstance(options.target, str) else whole, "has_label": told}


def _text(known: Mapping[str, Any], name: str) -> str | None:
    text = _stripped(known, name)
    return None if text in MISSING else text


def _stripped(known: Mapping[str, Any], name: str) -> str:
    value = known.get(name)
    if value is None:
        return ""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return text.strip()


def _number(options: TableOptions, known: Mapping[str, Any], name: str) -> float | None:
    text = _stripped(known, name)
    if isinstance(known.get(name), str):
        text = options.written.plain(text)
    if text in MISSING:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise _bad_value(name) from error
    if not abs(value) < float("inf") or "_" in text:
        raise _bad_value(name)
    return value


def _whole(options: TableOptions, known: Mapping[str, Any], name: str) -> int | None:
    value = _number(options, known, name)
    if value is None:
        return None
    if not value.is_integer() or abs(value) >= EXACT:
        raise _bad_value(name)
    return int(value)


def _bad_value(name: str) -> DataError:
    return DataError(
        f"column {name!r} holds no number where one belongs",
        code="bad-value",
        hint="`classes` names classes, `values` texts that stand for numbers, `decimal` a comma",
    )
