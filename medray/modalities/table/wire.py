"""Bodies of requests to tables: the features of each modality, in JSON or in Arrow."""

from typing import Any

import numpy as np

from medray.errors import DataError
from medray.modalities.apart import decoder
from medray.modalities.media import ARROW, BINARY, JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

SHOWN = 20  # features of an example


class TableWire(Wire):
    """One row a request, or many. Where a modality is null or left out, the sample lacks it; where
    a feature is null, its value is missing."""

    @property
    def widths(self) -> dict[str, int]:
        """Features of each modality."""
        return {name: len(one["mean"]) for name, one in self.plan["columns"].items()}

    @property
    def _form(self) -> str:
        named = ", ".join(f'"{name}": [{width} numbers]' for name, width in self.widths.items())
        return f'{{"features": {{{named}}}, "sample_id": "…"}}'

    @property
    def samples(self) -> str:
        """See Wire."""
        return ", ".join(f"{name}: {width} features" for name, width in self.widths.items())

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        value = {"type": ["number", "null"]}
        lists = {
            name: {
                "type": ["array", "null"], "items": value, "minItems": width, "maxItems": width
            }
            for name, width in self.widths.items()
        }  # fmt: skip
        features = {"type": "object", "additionalProperties": False, "properties": lists}
        one: dict[str, Any] = {
            "type": "object",
            "required": ["features"],
            "additionalProperties": False,
            "properties": {"features": features, "sample_id": {"type": "string"}},
        }
        if sum(self.widths.values()) <= SHOWN:
            row = {name: [0.0] * width for name, width in self.widths.items()}
            one["example"] = {"features": row}
        columns = ", ".join(f"`{name}`" for name in self.widths)
        column = {**BINARY, "description": f"columns {columns} of lists of numbers, uncompressed"}
        return {JSON: {"oneOf": [one, {"type": "array", "items": one}]}, ARROW: column}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; each sample has an array float32 (features,) for each modality it has."""
        if media == ARROW:
            rows = decoder(limits.decoded_bytes).read(body, dict.fromkeys(self.widths, "list"))
            made = [Sample(name, {}, dict(values)) for name, values in rows]
            return Asked([self._fitting(one) for one in made], many=True)
        documents, many = documents_of(body, ("features",), self._form)
        if len(documents) * 4 * sum(self.widths.values()) > limits.decoded_bytes:
            raise DataError(f"{len(documents)} rows of features", code="too-large")
        made = [Sample(name, {}, self._arrays(one.get("features"))) for name, one in documents]
        return Asked(distinct([self._fitting(one) for one in made]), many)

    def _arrays(self, features: Any) -> dict[str, Any]:
        if not isinstance(features, dict):
            raise self._bad()
        made = {}
        for name, values in features.items():
            if values is None:
                continue
            if not isinstance(values, list) or not {type(one) for one in values} <= _NUMBERS:
                raise self._bad()
            try:
                with np.errstate(over="ignore"):
                    made[name] = np.array(values, np.float64).astype(np.float32)
            except OverflowError as error:
                raise self._bad() from error
        return made

    def _fitting(self, sample: Sample) -> Sample:
        shapes = {name: values.shape for name, values in sample.arrays.items()}
        wanted = {name: (width,) for name, width in self.widths.items()}
        if not shapes or not shapes.items() <= wanted.items():
            raise DataError(
                "the features are not those that the model takes",
                code="model-mismatch",
                hint=f"expected {self._form}",
            )
        return sample

    def _bad(self) -> DataError:
        return DataError(
            "the body does not have the form that the model takes",
            code="bad-json",
            hint=f"expected {self._form}, or a list of such objects",
        )


_NUMBERS = frozenset({int, float, type(None)})
