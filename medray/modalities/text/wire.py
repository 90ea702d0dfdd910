"""Bodies of requests to models of texts: texts in JSON, with spans where the model takes them."""

from collections.abc import Mapping
from typing import Any

from medray.errors import DataError
from medray.formats.documents.columns import SPANS, checked, spans_of
from medray.modalities.media import JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

CHARACTERS = 1_000_000  # of a text
SPAN = {
    "type": "object",
    "required": ["begin", "end", "type"],
    "properties": {
        "begin": {"type": "integer", "minimum": 0},
        "end": {"type": "integer", "minimum": 1},
        "type": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "integer"}},
    },
}


class TextWire(Wire):
    """One text a request, or many; answers name characters of it, from 0."""

    @property
    def _marked(self) -> bool:
        """Whether spans come with a text."""
        return bool(self.plan["answers"] == "links")

    @property
    def _form(self) -> str:
        spans = f', "{SPANS}": [{{"begin": 0, "end": 7, "type": "DRUG"}}, …]' * self._marked
        return f'{{"{self.plan["column"]}": "…"{spans}, "sample_id": "…"}}'

    @property
    def samples(self) -> str:
        """See Wire."""
        return "texts with their spans" if self._marked else "texts"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        name = str(self.plan["column"])
        properties: dict[str, Any] = {
            name: {"type": "string", "maxLength": CHARACTERS},
            "sample_id": {"type": "string"},
        }
        example: dict[str, Any] = {name: "aspirin raises the effect of warfarin"}
        if self._marked:
            properties[SPANS] = {"type": "array", "items": SPAN}
            example[SPANS] = [
                {"begin": 0, "end": 7, "type": "DRUG"},
                {"begin": 29, "end": 37, "type": "DRUG"},
            ]
        one = {
            "type": "object",
            "required": [name, *([SPANS] if self._marked else [])],
            "additionalProperties": False,
            "properties": properties,
            "example": example,
        }
        return {JSON: {"oneOf": [one, {"type": "array", "items": one}]}}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; each sample has its text, and its spans, in its row.

        Raises:
            DataError: see Wire; a text is blank ("no-text"), as no document is; or a span does not
                fit its text (see `columns.checked`).
        """
        name = str(self.plan["column"])
        fields = (name, SPANS) if self._marked else (name,)
        documents, many = documents_of(body, fields, self._form)
        samples = []
        for sample, one in documents:
            text, spans = one.get(name), one.get(SPANS, [])
            if not isinstance(text, str) or not isinstance(spans, list):
                raise self._bad()
            if len(text) > CHARACTERS:
                raise DataError(f"a text of {len(text)} characters", code="too-large")
            if not text.strip():
                raise DataError("a text is empty", code="no-text", about=sample)
            row: dict[str, Any] = {name: text}
            if self._marked:
                try:
                    row[SPANS] = [{"parts": [], **span} for span in spans]
                    if not all(map(_counted, row[SPANS])):
                        raise self._bad()
                    checked(text, spans_of(row))
                except (TypeError, AttributeError) as error:
                    raise self._bad() from error
            samples.append(Sample(sample, row))
        return Asked(distinct(samples), many)

    def _bad(self) -> DataError:
        return DataError(
            "the body does not have the form that the model takes",
            code="bad-json",
            hint=f"expected {self._form}, or a list of such objects",
        )


def _counted(span: Mapping[str, Any]) -> bool:
    """Whether its places are whole numbers, where it has them."""
    places = (span.get("begin", 0), span.get("end", 0), *span["parts"])
    return all(type(one) is int for one in places)
