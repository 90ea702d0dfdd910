"""Bodies of requests to models of molecules: SMILES, in JSON or in Arrow."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.molecules.graph import DESCRIPTORS
from medray.formats.molecules.guard import Guard
from medray.formats.smiles import Smiles, SmilesOptions
from medray.modalities.apart import decoder
from medray.modalities.media import ARROW, BINARY, JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

FIELD = SmilesOptions().smiles  # as the format calls it
FORM = '{"smiles": "CCO", "sample_id": "…"}'
ATOM_BYTES = 64  # of an atom with its bonds, once it is read; a character of SMILES is at most one


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
        if sum(len(text) for _, text in texts) * ATOM_BYTES > limits.decoded_bytes:
            raise DataError(f"{len(texts)} compounds", code="too-large")
        return Asked(distinct(list(self._read(texts))), many)

    def _read(self, texts: Sequence[tuple[str, str]]) -> Iterator[Sample]:
        told = {"descriptors": DESCRIPTORS in self.plan["widths"], **self.plan["reading"]}
        options = SmilesOptions(canonical=False, scaffold=False, **told)
        for number, (_, text) in enumerate(texts):
            if len(text) > options.max_characters:
                raise DataError(f"compound {number}: {len(text)} characters", code="too-long")
        guard = Guard(Smiles.reader, options.model_dump(), options.row_seconds)
        (parsed,) = guard.read([[text for _, text in texts]])
        for number, (code, reason) in sorted(parsed.refused.items()):
            raise DataError(f"compound {number}: {reason}", code=code)
        ends = {name: np.cumsum(lengths) for name, (_, lengths) in parsed.arrays.items()}
        for at, (name, text) in enumerate(texts):
            arrays = {
                array: values[ends[array][at] - lengths[at] : ends[array][at]]
                for array, (values, lengths) in parsed.arrays.items()
            }
            yield Sample(name, {FIELD: text}, dict(arrays))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError(
            "the body does not have the form that the model takes",
            code="bad-json",
            hint=f"expected {FORM}, or a list of such objects",
        )
    return value
