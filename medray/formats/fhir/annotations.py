"""What is marked in a text as a page of W3C Web Annotations (W3C Recommendation, 23 February 2017).

FHIR has no element of its own for it. A span is an annotation with a TextPositionSelector, which
counts code points as spans do, a span with gaps one with several targets, and a relation links two
annotations by their ids.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medray.errors import DataError
from medray.formats.documents.columns import Relation, Span, checked

MEDIA_TYPE = "application/ld+json"
CONTEXT = "http://www.w3.org/ns/anno.jsonld"
PAGE = "AnnotationPage"
MARKS, LINKS = "tagging", "linking"  # motivations of the vocabulary


def page_of(
    text: str, spans: Sequence[Span], relations: Sequence[Relation], made_by: str
) -> dict[str, Any]:
    """A page with all annotations of a text.

    Args:
        text: address of what is annotated.
        spans: in it.
        relations: between them.
        made_by: the model that has found them; empty: people, or not known.
    """
    creator = {"creator": {"type": "Software", "name": made_by}} if made_by else {}
    items: list[dict[str, Any]] = []
    for at, span in enumerate(spans):
        ends = span.parts or (span.begin, span.end)
        targets = [
            {
                "source": text,
                "selector": {"type": "TextPositionSelector", "start": begin, "end": end},
            }
            for begin, end in zip(ends[::2], ends[1::2], strict=True)
        ]
        target = targets[0] if len(targets) == 1 else targets
        items.append(_annotation(f"{text}#T{at + 1}", MARKS, span.type, target) | creator)
    for at, one in enumerate(relations):
        both = [f"{text}#T{place + 1}" for place in (one.first, one.second)]
        items.append(_annotation(f"{text}#R{at + 1}", LINKS, one.type, both) | creator)
    return {"@context": CONTEXT, "id": f"{text}#annotations", "type": PAGE, "items": items}


def marks_of(page: Any, text: str) -> tuple[list[Span], list[Relation]]:
    """Spans and relations of a page, in its order; annotations of other motivations are left out.

    Args:
        page: as `page_of` makes it.
        text: that is annotated.

    Raises:
        DataError: it is no such page ("bad-annotation"), a span lies outside of the text
            ("span-outside"), a relation names what is no span ("unknown-annotation").
    """
    spans: list[Span] = []
    places: dict[str, int] = {}
    linked: list[tuple[str, list[Any]]] = []
    try:
        for one in page["items"]:
            kind, target = _body(one), one["target"]
            if one["motivation"] == MARKS:
                ends = [end for part in _listed(target) for end in _ends(part["selector"])]
                places[str(one["id"])] = len(spans)
                parts = tuple(ends) if len(ends) > 2 else ()
                spans.append(Span(ends[0], ends[-1], kind, parts))
            elif one["motivation"] == LINKS:
                first, second = target
                linked.append((kind, [first, second]))
        checked(text, spans)
        return spans, [Relation(kind, *(places[str(end)] for end in ends)) for kind, ends in linked]
    except KeyError as error:
        if error.args and any(error.args[0] in map(str, ends) for _, ends in linked):
            raise DataError(
                "an annotation links what is no span of the text", code="unknown-annotation"
            ) from None
        raise _bad() from None
    except (TypeError, ValueError, IndexError, AttributeError):
        raise _bad() from None


def _annotation(name: str, motivation: str, kind: str, target: Any) -> dict[str, Any]:
    return {
        "id": name,
        "type": "Annotation",
        "motivation": motivation,
        "body": {"type": "TextualBody", "value": kind, "purpose": motivation},
        "target": target,
    }


def _body(annotation: Mapping[str, Any]) -> str:
    value = annotation["body"]["value"]
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _listed(target: Any) -> list[Any]:
    return target if isinstance(target, list) else [target]


def _ends(selector: Mapping[str, Any]) -> tuple[int, int]:
    ends = selector["start"], selector["end"]
    if selector["type"] != "TextPositionSelector" or not all(type(end) is int for end in ends):
        raise ValueError
    return ends


def _bad() -> DataError:
    return DataError(
        "what is marked in it is no page of Web Annotations with positions",
        code="bad-annotation",
        hint="each needs id, motivation, a body with a value, and a TextPositionSelector as target",
    )
