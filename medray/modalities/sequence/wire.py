"""Bodies of requests to sequences of DNA: letters, in JSON or in Arrow."""

from collections.abc import Iterable
from typing import Any

from medray.errors import DataError
from medray.formats.genomics.nucleotides import ambiguous
from medray.modalities.apart import decoder
from medray.modalities.media import ARROW, BINARY, JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

FORM = '{"sequence": "ACGT…", "sample_id": "…"}'


class SequenceWire(Wire):
    """One sequence a request, or many."""

    @property
    def samples(self) -> str:
        """See Wire."""
        return f"sequences of {self.plan['length']} bases"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        letters = {
            "type": "string",
            "description": f"of bases; the model sees {self.plan['length']}, "
            f"{self.plan['align']}-aligned: longer ones are cut, shorter ones padded",
        }
        one = {
            "type": "object",
            "required": ["sequence"],
            "additionalProperties": False,
            "properties": {"sequence": letters, "sample_id": {"type": "string"}},
            "example": {"sequence": ("ACGT" * 8)[: self.plan["length"]]},
        }
        column = {**BINARY, "description": "a column `sequence` of texts, uncompressed"}
        return {JSON: {"oneOf": [one, {"type": "array", "items": one}]}, ARROW: column}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; each sample has `sequence` in its row."""
        if media == ARROW:
            rows = decoder(limits.decoded_bytes).read(body, {"sequence": "text"})
            texts = [(name, values["sequence"].tobytes()) for name, values in rows]
            return self._asked(texts, limits, many=True)
        documents, many = documents_of(body, ("sequence",), FORM)
        texts = [(name, _letters(one.get("sequence"))) for name, one in documents]
        return self._asked(texts, limits, many=many)

    def _asked(self, texts: Iterable[tuple[str, bytes]], limits: Limits, *, many: bool) -> Asked:
        samples = []
        for name, letters in texts:
            if not letters:
                raise DataError("a sequence has no letters", code="empty-sequence")
            ambiguous(letters)  # refuses what are no nucleotides
            samples.append(Sample(name, {"sequence": letters.decode()}))
            if len(samples) * self.plan["length"] > limits.decoded_bytes:
                raise DataError(f"more than {len(samples) - 1} sequences", code="too-large")
        return Asked(distinct(samples), many)


def _letters(value: Any) -> bytes:
    if not isinstance(value, str):
        raise DataError(
            "the body does not have the form that the model takes",
            code="bad-json",
            hint=f"expected {FORM}, or a list of such objects",
        )
    return value.encode()
