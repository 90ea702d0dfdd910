"""Who is both in the part that is learnt from and in the one that validates: a leak.

Windows of one record, or records of one subject, are alike; a network that has seen some of them
knows the others, and its validation says nothing of people it has never seen.
"""

from collections.abc import Mapping
from typing import Any

from medray.errors import SpecError
from medray.storage.catalog.datasets import Dataset

GROUPS = ("subject", "record")
"""Columns whose equal values are to stay in one part, in data of any kind."""


def shared(data: Dataset, select: dict[str, Any], validation: dict[str, Any]) -> dict[str, int]:
    """How many subjects and records are in both parts, by column; none: it is left out.

    Args:
        data: that both are of.
        select: what is learnt from.
        validation: what validates; nothing where it is empty.
    """
    there = data.manifest.columns
    groups = [column for column in GROUPS if column in there]
    if not validation or not groups or not {*select, *validation} <= set(there):
        return {}
    own, held_out = data.select(select), data.select(validation)
    if not own or not held_out:
        return {}
    found = {}
    for column in groups:
        values = data.columns([column])[column].to_pylist()
        both = {values[at] for at in own} & {values[at] for at in held_out}
        if count := len(both - {None, ""}):
            found[column] = count
    return found


def met(
    data: Dataset, validation: dict[str, Any], other: Dataset, chosen: dict[str, Any]
) -> dict[str, int]:
    """How many samples, subjects and records are both validated on and learnt from without targets;
    none: it is left out.

    Args:
        data: that is validated on.
        validation: which samples of it.
        other: that is learnt from without targets; names are compared across datasets.
        chosen: which samples of it.
    """
    found = {}
    for column in ("sample_id", *GROUPS):
        values = [
            set(one.columns([column])[column].take(one.select(where)).to_pylist())
            for one, where in ((data, validation), (other, chosen))
            if column in ("sample_id", *one.manifest.columns)
        ]
        if len(values) == 2 and (count := len((values[0] & values[1]) - {None, ""})):
            found["sample" if column == "sample_id" else column] = count
    return found


def refuse(found: Mapping[str, int], about: str) -> None:
    """Refuse a training whose parts share somebody.

    Raises:
        SpecError: they do (code "shared-parts").
    """
    if found:
        raise SpecError(
            f"training and validation share {told(found)}",
            code="shared-parts",
            about=about,
            hint="divide by subject where data are ingested (`split: {by: subject, …}`); "
            "`allow_leak: true` trains all the same, and the page says so",
        )


def told(found: Mapping[str, int]) -> str:
    """In words: "3 subjects and 5 records"."""
    return " and ".join(
        f"{count} {column}{'s' if count > 1 else ''}" for column, count in found.items()
    )


def cautions(config: Mapping[str, Any]) -> list[str]:
    """What a page says of a model whose training was forced: a sentence.

    Args:
        config: of the model package.
    """
    found = config.get("shared") or {}
    said = "its validation shares {} with what it learnt from, so it looks better than it is"
    return [said.format(told(found))] if found else []
