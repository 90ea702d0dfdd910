"""Bodies of requests to models of molecules: SMILES, in JSON or in Arrow."""

from collections.abc import Sequence
from typing import Any

from medray.errors import DataError
from medray.formats.molecules.graph import DESCRIPTORS
from medray.formats.smiles import SmilesOptions
from medray.modalities.apart import decoder
from medray.modalities.compounds import graphs_of
from medray.modalities.media import ARROW, BINARY, JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

FIELD = SmilesOptions().smiles  # as the format calls it
FORM = '{"smiles": "CCO", "sample_id": "…"}'


class MoleculeWire(Wire):
    """One compound a request, or many. RDKit reads them in a process of its own, as at ingest."""

    @property
    def samples(self) -> str:
        """See Wire."""
        return "compounds, as SMILES"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        one = {
            "type": "object",
            "required": [FIELD],
            "additionalProperties": False,
            "properties": {FIELD: {"type": "string"}, "sample_id": {"type": "string"}},
            "example": {FIELD: "CC(=O)Oc1ccccc1C(=O)O"},
        }
        column = {**BINARY, "description": "a column `smiles` of texts, uncompressed"}
        return {JSON: {"oneOf": [one, {"type": "array", "items": one}]}, ARROW: column}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; each sample has the arrays that ingest would have made.

        Raises:
            DataError: see Wire; or a SMILES is no compound, with the code that ingest would have
                refused it by.
        """
        if media == ARROW:
            rows = decoder(limits.decoded_bytes).read(body, {FIELD: "text"})
            texts = [(name, values[FIELD].tobytes().decode()) for name, values in rows]
            return self._asked(texts, limits, many=True)
        documents, many = documents_of(body, (FIELD,), FORM)
        return self._asked([(n, _text(one.get(FIELD))) for n, one in documents], limits, many)

    def _asked(self, texts: Sequence[tuple[str, str]], limits: Limits, many: bool) -> Asked:
        described = DESCRIPTORS in self.plan["widths"]
        if self.plan.get("blend"):
            described |= self.plan["described"]
        told = {DESCRIPTORS: described, **self.plan["reading"]}
        found = graphs_of([text for _, text in texts], told, limits.decoded_bytes)
        samples = [
            Sample(name, {FIELD: text}, dict(arrays))
            for (name, text), arrays in zip(texts, found, strict=True)
        ]
        return Asked(distinct(samples), many)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError(
            "the body does not have the form that the model takes",
            code="bad-json",
            hint=f"expected {FORM}, or a list of such objects",
        )
    return value
