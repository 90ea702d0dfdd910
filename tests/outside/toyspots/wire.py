"""Requests of spots: JSON, {"points": [[x, y], …]}, one or a list of them."""

from typing import Any

import numpy as np

from medray.errors import DataError
from medray.modalities.media import documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

MEDIA = "application/x-spots+json"
FORM = '{"points": [[x, y], …]}'


class SpotWire(Wire):
    """Points of one sample, or of many."""

    samples = "points in a plane"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        point = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        one = {"type": "object", "properties": {"points": {"type": "array", "items": point}}}
        return {MEDIA: {"oneOf": [one, {"type": "array", "items": one}]}}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire."""
        documents, many = documents_of(body, ("points",), FORM)
        made = []
        for name, one in documents:
            try:
                points = np.asarray(one["points"], np.float32).reshape(-1, 2)
            except (TypeError, ValueError) as error:
                raise DataError("the body has no points", code="bad-json", hint=FORM) from error
            made.append(Sample(name, {}, {"points": points}))
        return Asked(distinct(made), many)
