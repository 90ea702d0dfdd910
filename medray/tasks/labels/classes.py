"""Classes as rows of samples name them."""

from collections.abc import Mapping, Sequence
from typing import Any

from medray.errors import DataError


def class_of(value: Any, classes: Sequence[str], row: Mapping[str, Any]) -> int:
    """The number of a class, which a value is by number or name, or as a list of one.

    Args:
        value: of the row.
        classes: all names.
        row: to be named where it is none.

    Raises:
        DataError: it is none (code "bad-target").
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and value in classes:
        return classes.index(value)
    # Numbers of columns that have blanks come as floats.
    if isinstance(value, int | float) and value in range(len(classes)):
        return int(value)
    raise bad_target(row, "the value names no class")


def bad_target(row: Mapping[str, Any], why: str) -> DataError:
    """What to raise where a row does not tell what is to be learnt of it."""
    return DataError(
        f"no usable target: {why}",
        code="bad-target",
        about=str(row.get("sample_id", "")),
        hint="check the task's `target` and `classes`",
    )
