"""Bodies of requests to models of events: codes by name, and hours before the prediction time."""

from typing import Any

import numpy as np

from medray.errors import DataError
from medray.modalities.ehr.plan import CODES, HOURS
from medray.modalities.media import JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

FORM = '{"codes": ["LAB//2951-2", …], "hours": [12.5, …], "sample_id": "…"}'
OTHER = 1
MOST_HOURS = 1e9


class RecordWire(Wire):
    """One sequence a request, or many, the oldest event first. A code that the model does not know
    is one of any other; hours are null of what is always so."""

    @property
    def samples(self) -> str:
        """See Wire."""
        return f"events, of {len(self.plan['names'])} codes"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        one = {
            "type": "object",
            "required": [CODES, HOURS],
            "additionalProperties": False,
            "properties": {
                CODES: {"type": "array", "items": {"type": "string"}},
                HOURS: {"type": "array", "items": {"type": ["number", "null"], "minimum": 0}},
                "sample_id": {"type": "string"},
            },
            "example": {CODES: list(self.plan["names"][:1]) or ["A//1"], HOURS: [12.5]},
        }
        return {JSON: {"oneOf": [one, {"type": "array", "items": one}]}}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; each sample has the arrays that a cohort would have made.

        Raises:
            DataError: see Wire; or events are not as a cohort has them, the oldest first (code
                "unordered-events").
        """
        documents, many = documents_of(body, (CODES, HOURS), FORM)
        numbers = {name: at + OTHER + 1 for at, name in enumerate(self.plan["names"])}
        made = []
        for name, one in documents:
            codes, hours = one.get(CODES), one.get(HOURS)
            if not isinstance(codes, list) or not isinstance(hours, list):
                raise _bad()
            if len(codes) != len(hours) or not {type(code) for code in codes} <= {str}:
                raise _bad()
            if len(codes) * 8 * len(documents) > limits.decoded_bytes:
                raise DataError(f"{len(codes)} events", code="too-large")
            if not {type(hour) for hour in hours} <= {int, float, type(None)}:
                raise _bad()
            when = np.array([np.nan if hour is None else _float(hour) for hour in hours])
            if (when < 0).any() or (when > MOST_HOURS).any():
                raise _bad()
            always = np.isnan(when)
            if (np.diff(always.astype(np.int8)) > 0).any() or (np.diff(when[~always]) > 0).any():
                raise DataError(
                    "the events are not in order",
                    code="unordered-events",
                    about=name,
                    hint="first what is always so (null), then the oldest event first",
                )
            arrays = {
                CODES: np.array([numbers.get(code, OTHER) for code in codes], np.int32),
                HOURS: when.astype(np.float32),
            }
            made.append(Sample(name, {}, dict(arrays)))
        return Asked(distinct(made), many)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise _bad() from error


def _bad() -> DataError:
    return DataError(
        "the body does not have the form that the model takes",
        code="bad-json",
        hint=f"expected {FORM}, or a list of such objects",
    )
