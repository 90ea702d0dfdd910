"""Tags of tokens to entities and back: IOB2, IOB1 and IOBES, each read by its own grammar."""

from collections.abc import Sequence
from typing import Literal

from medray.errors import DataError

Scheme = Literal["iob2", "iob1", "iobes"]
OUTSIDE = "O"
Entity = tuple[int, int, str]
"""First token, the one behind the last, type."""


def entities_of(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """The entities that tags mark, in order.

    Tags that break the scheme's grammar are no tags of it: what a lenient reading makes of an
    inside without a beginning is a guess (Ramshaw and Marcus 1995 begin entities so, IOB2 does
    not).

    Raises:
        DataError: a tag is none of the scheme, or follows on one that it can't (code "bad-tag").
    """
    found: list[Entity] = []
    begun: tuple[int, str] | None = None
    for at, tag in enumerate([*tags, OUTSIDE]):
        mark, kind = _parts(tag, scheme)
        begins = mark in ("B", "S")
        if scheme == "iob1":
            # An inside begins one, unless one of its type stands before it; B parts two of a type.
            alike = begun is not None and begun[1] == kind
            if mark == "B" and not alike:
                raise _bad(at)
            begins = begins or (mark == "I" and not alike)
        elif mark in ("I", "E") and (begun is None or begun[1] != kind):
            raise _bad(at)
        if begun is not None and (begins or mark == OUTSIDE):
            if scheme == "iobes":
                raise _bad(at)
            found.append((begun[0], at, begun[1]))
            begun = None
        if begins:
            begun = at, kind
        if mark in ("E", "S") and begun is not None:
            found.append((begun[0], at + 1, kind))
            begun = None
    return found


def tags_of(entities: Sequence[Entity], tokens: int) -> list[str]:
    """IOB2 tags of entities.

    Raises:
        DataError: two of them share a token (code "nested-spans").
    """
    tags = [OUTSIDE] * tokens
    for first, last, kind in entities:
        if any(tag != OUTSIDE for tag in tags[first:last]):
            raise DataError(
                "two spans share a token, which tags can't tell",
                code="nested-spans",
                hint="write them as brat",
            )
        tags[first:last] = [f"B-{kind}", *[f"I-{kind}"] * (last - first - 1)]
    return tags


def _parts(tag: str, scheme: Scheme) -> tuple[str, str]:
    """B, I, E, S or O, and the type."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    mark, _, kind = tag.partition("-")
    if mark not in ("BIES" if scheme == "iobes" else "BI") or len(mark) != 1 or not kind:
        raise DataError(
            "a tag is none of the scheme", code="bad-tag", hint=f"is it {scheme}? see `scheme`"
        )
    return mark, kind


def _bad(at: int) -> DataError:
    return DataError(
        f"the tag of token {at + 1} can't stand behind the one before it",
        code="bad-tag",
        hint="mend it, or take the `scheme` that the file is in",
    )
