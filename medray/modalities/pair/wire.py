"""Bodies of requests to models of pairs: SMILES and sequences, in JSON or in Arrow."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.molecules.residues import RESIDUES, residues
from medray.formats.pairs.options import COMPOUND, PairsOptions
from medray.modalities.apart import decoder
from medray.modalities.compounds import graphs_of
from medray.modalities.media import ARROW, BINARY, JSON, documents_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample, Slabs

_OPTIONS = PairsOptions()
FIELDS = (_OPTIONS.smiles, _OPTIONS.sequence)  # as the format calls them
FORM = '{"smiles": "CCO", "sequence": "MKV…", "sample_id": "…"}'


class PairWire(Wire):
    """One pair a request, or many; compounds are read in a process of their own, each once."""

    @property
    def samples(self) -> str:
        """See Wire."""
        return "compounds, as SMILES, each with the sequence of a protein"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        sequence = {
            "type": "string",
            "description": f"of residues, of which the model sees {self.plan['residues']}",
        }
        one = {
            "type": "object",
            "required": [*FIELDS],
            "additionalProperties": False,
            "properties": {
                FIELDS[0]: {"type": "string"},
                FIELDS[1]: sequence,
                "sample_id": {"type": "string"},
            },
            "example": {FIELDS[0]: "CC(=O)Oc1ccccc1C(=O)O", FIELDS[1]: "MKKFFDSRREQGGSGLGSGSSGG"},
        }
        columns = {
            **BINARY,
            "description": "columns `smiles` and `sequence` of texts, uncompressed",
        }
        return {JSON: {"oneOf": [one, {"type": "array", "items": one}]}, ARROW: columns}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; each sample has the arrays that ingest would have made.

        Raises:
            DataError: see Wire; or a half of a pair is none, with the code that ingest would have
                refused it by.
        """
        if media == ARROW:
            rows = decoder(limits.decoded_bytes).read(body, dict.fromkeys(FIELDS, "text"))
            given = [(name, [values[one].tobytes().decode() for one in FIELDS])
                     for name, values in rows]  # fmt: skip
            return self._asked(given, limits, many=True)
        documents, many = documents_of(body, FIELDS, FORM)
        given = [(name, [_text(one.get(field)) for field in FIELDS]) for name, one in documents]
        return self._asked(given, limits, many)

    def _asked(self, given: Sequence[tuple[str, list[str]]], limits: Limits, many: bool) -> Asked:
        smiles = list(dict.fromkeys(text for _, (text, _) in given))
        if sum(len(sequence) for _, (_, sequence) in given) > limits.decoded_bytes:
            raise DataError(f"{len(given)} pairs", code="too-large")
        found = graphs_of(smiles, self.plan["reading"], limits.decoded_bytes)
        graphs = dict(zip(smiles, found, strict=True))
        samples = []
        for name, (text, sequence) in given:
            arrays: dict[str, np.ndarray | Slabs] = {
                COMPOUND[one]: array for one, array in graphs[text].items() if one in COMPOUND
            }
            letters = residues(sequence, _OPTIONS.max_residues)
            arrays[RESIDUES] = np.frombuffer(letters, np.uint8)
            samples.append(Sample(name, {FIELDS[0]: text, FIELDS[1]: sequence}, arrays))
        return Asked(distinct(samples), many)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError(
            "the body does not have the form that the model takes",
            code="bad-json",
            hint=f"expected {FORM}, or a list of such objects",
        )
    return value
