"""Judge spans: strictly, by first and last character and type; micro F1 and that of each type."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.formats.documents.columns import Span
from medray.tasks.metrics.bootstrap import Bootstrap, FloatArray, subjects

COUNTS = ("true", "called", "right")


def strict_entities(tags: np.ndarray) -> list[tuple[int, int, int]]:
    """Entities of IOB2 tags: first token, the one behind the last, number of the type.

    An inside that stands behind no begin or inside of its type begins nothing, as in seqeval's
    strict mode (its default mode makes an entity of it).

    Args:
        tags: 0 outside, 2k + 1 begin and 2k + 2 inside of type k.
    """
    made = []
    for at in np.flatnonzero(tags % 2).tolist():
        kind, last = int(tags[at]) // 2, at + 1
        while last < len(tags) and tags[last] == 2 * kind + 2:
            last += 1
        made.append((at, last, kind))
    return made


def counted(
    true: Sequence[str], called: Sequence[str], right: Sequence[str], types: Sequence[str]
) -> dict[str, Any]:
    """Columns of a row: how many there are, and `<count>_by` of each type in its order."""
    each = {"true": true, "called": called, "right": right}
    made: dict[str, Any] = {name: len(found) for name, found in each.items()}
    made |= {f"{name}_by": [found.count(one) for one in types] for name, found in each.items()}
    return made


def mistakes_of(
    wanted: Iterable[Span], found: Iterable[Span], text: str | None
) -> list[dict[str, Any]]:
    """Each span that is not right, by its offsets; one that overlaps another is held against it.

    Args:
        wanted: true spans.
        found: called spans.
        text: to quote from; None: nothing is quoted.
    """
    true, called = set(wanted), set(found)
    missed = sorted(true - called, key=_place)
    spurious = sorted(called - true, key=_place)
    made = []
    for one in missed:
        other = next((two for two in spurious if _overlap(one, two)), None)
        if other is None:
            made.append(_told("missed", one, None, text))
            continue
        spurious.remove(other)
        same = _place(one)[:2] == _place(other)[:2]
        made.append(_told("another type" if same else "other bounds", one, other, text))
    return [*made, *(_told("spurious", None, one, text) for one in spurious)]


def _place(span: Span) -> tuple[int, int, str]:
    return span.begin, span.end, span.type


def _overlap(one: Span, other: Span) -> bool:
    return one.begin < other.end and other.begin < one.end


def _told(mistake: str, true: Span | None, called: Span | None, text: str | None) -> dict[str, Any]:
    one = true or called
    kind = "" if one is None else one.type
    quote = None if text is None or one is None else text[one.begin : one.end]
    return {
        "mistake": mistake,
        "type": kind,
        "begin": None if true is None else true.begin,
        "end": None if true is None else true.end,
        "called_begin": None if called is None else called.begin,
        "called_end": None if called is None else called.end,
        "called_type": None if called is None else called.type,
        "quote": quote,
    }


def summarise_counts(cases: pa.Table, types: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Precision, recall and F1 over all rows with intervals, and of each type.

    Args:
        cases: rows with the columns of `counted`, and `case`.
        types: in the order of the lists.
        bootstrap: resamples documents, or the subjects that they are of.
    """
    owners = subjects(cases)
    statuses = cases["status"].to_pylist()
    whole = {name: cases[name].to_numpy().astype(np.float64) for name in COUNTS}
    by = {name: np.array(cases[f"{name}_by"].to_pylist(), np.float64) for name in COUNTS}

    def estimates(counts: dict[str, FloatArray]) -> dict[str, Any]:
        right, called, true = counts["right"], counts["called"], counts["true"]
        several = {
            "f1": (2 * right, called + true),
            "precision": (right, called),
            "recall": (right, true),
        }
        made = {}
        for name, (part, all_of) in several.items():

            def share(
                weights: FloatArray, part: FloatArray = part, all_of: FloatArray = all_of
            ) -> FloatArray:
                with np.errstate(invalid="ignore"):
                    found: FloatArray = (weights @ part) / (weights @ all_of)
                return found

            behind = (called + true) > 0
            made[name] = bootstrap.estimate(share, len(right), owners, behind).to_dict()
        return made

    return {
        "cases": cases.num_rows,
        "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
        "metrics": estimates(whole),
        "classes": {
            kind: estimates({name: by[name][:, at] for name in COUNTS})
            for at, kind in enumerate(types)
        },
        "spans": {name: int(values.sum()) for name, values in whole.items()},
    }
