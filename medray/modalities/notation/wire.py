"""Bodies of requests to line notations: texts in JSON."""

from typing import Any

from medray.errors import DataError
from medray.modalities.media import JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

CHARACTERS = 2000  # of a text


class NotationWire(Wire):
    """One text a request, or many."""

    @property
    def _form(self) -> str:
        return f'{{"{self.plan["column"]}": "CCO", "sample_id": "…"}}'

    @property
    def samples(self) -> str:
        """See Wire."""
        return "molecules as SMILES"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        name = str(self.plan["column"])
        text = {"type": "string", "maxLength": CHARACTERS}
        one = {
            "type": "object",
            "required": [name],
            "additionalProperties": False,
            "properties": {name: text, "sample_id": {"type": "string"}},
            "example": {name: "CCO"},
        }
        return {JSON: {"oneOf": [one, {"type": "array", "items": one}]}}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; each sample has its text in its row."""
        name = str(self.plan["column"])
        documents, many = documents_of(body, (name,), self._form)
        samples = []
        for sample, one in documents:
            text = one.get(name)
            if not isinstance(text, str) or not text:
                raise DataError(
                    "the body does not have the form that the model takes",
                    code="bad-json",
                    hint=f"expected {self._form}, or a list of such objects",
                )
            if len(text) > CHARACTERS:
                raise DataError(f"a text of {len(text)} characters", code="too-large")
            samples.append(Sample(sample, {name: text}))
        return Asked(distinct(samples), many)
