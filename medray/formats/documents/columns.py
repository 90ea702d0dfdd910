"""Documents: what a row of one holds, and how annotations of it lie in a table.

Offsets count the code points of the text, from 0, as Python and BRAT do; `end` is behind the last.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyarrow as pa

from medray.errors import DataError
from medray.storage.shards.rows import Rows

TEXT, SPANS, RELATIONS = "text", "spans", "relations"
EXTRACT, EXTRACT_AT = "extract", "extract_at"
"""Of predictions: words of a text that are taken, and the character that each begins with."""
GENERATED = "generated"
"""Of predictions: a summary in words of the network's own."""
OURS = ("sample_id", "subject", "split", TEXT, SPANS, RELATIONS)
"""Columns with a meaning; no column of a file is kept under such a name."""
SPAN = pa.struct(
    [
        ("begin", pa.int32()),
        ("end", pa.int32()),
        ("type", pa.string()),
        ("parts", pa.list_(pa.int32())),
    ]
)
RELATION = pa.struct([("type", pa.string()), ("first", pa.int32()), ("second", pa.int32())])
_TYPES = {
    "sample_id": pa.string(),
    "subject": pa.string(),
    "split": pa.string(),
    TEXT: pa.string(),
    SPANS: pa.list_(SPAN),
    RELATIONS: pa.list_(RELATION),
}


@dataclass(frozen=True)
class Span:
    """What is marked in a text.

    Args:
        begin: its first character.
        end: the one behind its last.
        type: of it.
        parts: of a discontinuous one where each part begins and ends, one behind the other; none of
            one without gaps.
    """

    begin: int
    end: int
    type: str
    parts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Relation:
    """What holds between two spans, by their places among the spans of the document."""

    type: str
    first: int
    second: int


@dataclass(frozen=True)
class Document:
    """A text and what is known of it.

    Args:
        id: of the sample.
        text: of the document.
        subject: whose it is.
        split: that it is in; None: not told.
        spans: in the order of the file; None: not annotated.
        relations: between them.
        columns: what else is kept of it.
    """

    id: str
    text: str
    subject: str
    split: str | None = None
    spans: Sequence[Span] | None = None
    relations: Sequence[Relation] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


def checked(text: str, spans: Iterable[Span]) -> None:
    """Hold spans against their text.

    Raises:
        DataError: one is empty, turned round or reaches beyond the text (code "span-outside"), or
            its parts touch, are not in order or are not its own ("parts-disorder").
    """
    for span in spans:
        ends = span.parts or (span.begin, span.end)
        if len(ends) % 2 or (ends[0], ends[-1]) != (span.begin, span.end):
            raise DataError(
                "parts of a span do not begin and end where it does",
                code="parts-disorder",
                hint="begin and end of each part, one behind the other",
            )
        full = all(one < other for one, other in zip(ends[::2], ends[1::2], strict=True))
        if not full or min(ends) < 0 or max(ends) > len(text):
            raise DataError(
                "a span is empty, or does not lie within the text",
                code="span-outside",
                hint="offsets count characters, not bytes, from 0",
            )
        if not all(one < other for one, other in pairwise(ends)):
            raise DataError(
                "parts of a span overlap, touch, or are not in the order of the text",
                code="parts-disorder",
                hint="write them in order, and parts that touch as one",
            )


def rows_of(documents: Sequence[Document], *, spans: bool, relations: bool = False) -> Rows:
    """Documents as rows of one form, whatever each of them has.

    Args:
        documents: of which all keep the same columns.
        spans: whether there are spans.
        relations: whether there are relations between these.
    """
    values: dict[str, list[Any]] = {
        "sample_id": [one.id for one in documents],
        "subject": [one.subject for one in documents],
        "split": [one.split for one in documents],
        TEXT: [one.text for one in documents],
    }
    if spans:
        values[SPANS] = [
            None if one.spans is None else [told(span) for span in one.spans] for one in documents
        ]
    if relations:
        values[RELATIONS] = [[vars(link) for link in one.relations] for one in documents]
    if all(split is None for split in values["split"]):
        del values["split"]
    columns = {name: pa.array(cells, _TYPES[name]) for name, cells in values.items()}
    for name in documents[0].columns if documents else ():
        columns[name] = pa.array([one.columns[name] for one in documents])
    return Rows(pa.table(columns))


def told(span: Span) -> dict[str, Any]:
    """A span as a cell of a row has it."""
    return {**vars(span), "parts": list(span.parts)}


def spans_of(row: Mapping[str, Any]) -> list[Span]:
    """The spans of a row; none where it has none.

    Raises:
        DataError: the row's spans are none (code "bad-spans").
    """
    try:
        return [
            Span(int(one["begin"]), int(one["end"]), str(one["type"]), tuple(one["parts"] or ()))
            for one in row.get(SPANS) or ()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the row's spans can't be read", code="bad-spans") from error


def relations_of(row: Mapping[str, Any], spans: int) -> list[Relation]:
    """The relations of a row.

    Args:
        row: of a document.
        spans: how many it has.

    Raises:
        DataError: they are none, or of spans that are not there (code "bad-relations").
    """
    try:
        found = [
            Relation(str(one["type"]), int(one["first"]), int(one["second"]))
            for one in row.get(RELATIONS) or ()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the row's relations can't be read", code="bad-relations") from error
    if not all(0 <= at < spans for one in found for at in (one.first, one.second)):
        raise DataError("a relation names a span that is not there", code="bad-relations")
    return found
