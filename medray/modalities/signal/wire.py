"""Bodies of requests to signals in physical units, and what stands beside them.

A signal that comes with its rate is a recording: of any length, it is answered by intervals, as a
stored one is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.signal.recording import Channel, placed, row_of
from medray.modalities.apart import decoder
from medray.modalities.media import ARROW, BINARY, JSON, NPY, documents_of, read_npy
from medray.modalities.signal.plan import sources_of
from medray.modalities.wire import Asked, Limits, Wire, distinct
from medray.storage.shards.samples import Sample

SHOWN = 40  # values of an example
MOST_RATE = 20_000  # samples a second of a recording


class SignalWire(Wire):
    """One signal a request, or many."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns that a sample has beside its signal."""
        return sources_of(tuple(self.plan["columns"]))

    @property
    def shape(self) -> tuple[int, int]:
        """(leads, time)"""
        return len(self.plan["leads"]), int(self.plan["length"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """That a sample has."""
        return ("signal", "context") if self.plan["context"] else ("signal",)

    @property
    def along(self) -> bool:
        """Whether it can be asked along recordings, which have neither context nor columns."""
        return not self.plan["context"] and not self.sources

    @property
    def _form(self) -> str:
        leads, length = self.shape
        named = ", ".join(f'"{one}": [{leads} lists of {length} numbers]' for one in self.arrays)
        columns = ", ".join(f'"{one}": 0.0' for one in self.sources)
        beside = f', "columns": {{{columns}}}' if self.sources else ""
        whole = ', or with a "rate" as many numbers as there are' if self.along else ""
        return f'{{{named}{beside}, "sample_id": "…"}}{whole}'

    @property
    def samples(self) -> str:
        """See Wire."""
        leads = ", ".join(self.plan["leads"])
        return f"signals of {self.shape[1]} samples at {self.plan['rate']:g} Hz, leads {leads}"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire; .npy only where a signal is all that the model takes."""
        leads, length = self.shape
        lead = {
            "type": "array",
            "items": {"type": "number"},
            "minItems": length,
            "maxItems": length,
        }
        array = {"type": "array", "items": lead, "minItems": leads, "maxItems": leads}
        what = {
            "signal": "in physical units, a list for each lead, in the model's order",
            "context": "the median of all signals of its record, as `signal`",
        }
        numbers = {one: {"type": ["number", "null"]} for one in self.sources}
        told: dict[str, Any] = {one: {**array, "description": what[one]} for one in self.arrays}
        if numbers:
            told["columns"] = {
                "type": "object",
                "additionalProperties": False,
                "properties": numbers,
            }
        one: dict[str, Any] = {
            "type": "object",
            "required": list(self.arrays),
            "additionalProperties": False,
            "properties": {**told, "sample_id": {"type": "string"}},
        }
        if leads * length <= SHOWN:
            one["example"] = {name: [[0.0] * length] * leads for name in self.arrays}
        kinds = [one, *([self._whole] if self.along else [])]
        columns = ", ".join(f"`{one}`" for one in self.arrays)
        beside = f", and `columns`, lists of {', '.join(self.sources)}" if numbers else ""
        told_of = f"columns {columns} of tensors ({leads}, {length}){beside}, uncompressed"
        bodies: dict[str, dict[str, Any]] = {
            JSON: {"oneOf": [*kinds, {"type": "array", "items": _any_of(kinds)}]},
            ARROW: {**BINARY, "description": told_of},
        }
        if self.along:
            bodies[NPY] = {**BINARY, "description": f"numbers ({leads}, {length}), or a stack"}
        return bodies

    @property
    def _whole(self) -> dict[str, Any]:
        """JSON schema of a recording."""
        leads = self.shape[0]
        lead = {"type": "array", "items": {"type": "number"}, "minItems": 1}
        signal = {"type": "array", "items": lead, "minItems": leads, "maxItems": leads}
        told = "samples a second: the signal is a recording, and answered by `annotations`"
        rate = {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_RATE, "description": told}
        return {
            "type": "object",
            "required": ["signal", "rate"],
            "additionalProperties": False,
            "properties": {"signal": signal, "rate": rate, "sample_id": {"type": "string"}},
        }

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire; samples have arrays float32 (leads, time), and columns in their rows;
        recordings what `medray.formats.signal.recording` says."""
        if media == NPY:
            return self._stack(read_npy(body), limits)
        if media == ARROW:
            wanted: dict[str, Any] = dict.fromkeys(self.arrays, "tensor")
            wanted |= {"columns": "list"} if self.sources else {}
            rows = decoder(limits.decoded_bytes).read(body, wanted)
            return Asked([self._of_row(name, values) for name, values in rows], many=True)
        beside = [*(["columns"] if self.sources else []), *(["rate"] if self.along else [])]
        fields = (*self.arrays, *beside)
        documents, many = documents_of(body, fields, self._form)
        leads, length = self.shape
        windows = sum("rate" not in one for _, one in documents) * leads * length
        values = windows * len(self.arrays) + sum(_values(one) for _, one in documents)
        if values * 4 > limits.decoded_bytes:
            raise DataError(f"{len(documents)} signals", code="too-large")
        made = [self._of_document(name, one) for name, one in documents]
        return Asked(distinct(made), many)

    def _stack(self, values: np.ndarray, limits: Limits) -> Asked:
        many = values.ndim == 3
        stacked = values if many else values[None]
        if stacked.ndim != 3 or stacked.shape[1:] != self.shape:
            raise self._unfit()
        if stacked.size * 4 > limits.decoded_bytes:
            raise DataError(f"{len(stacked)} signals", code="too-large")
        arrays = [self._fitting({"signal": one}) for one in stacked]
        return Asked([Sample(str(at), {}, one) for at, one in enumerate(arrays)], many)

    def _of_row(self, name: str, values: Mapping[str, np.ndarray]) -> Sample:
        numbers = values.get("columns")
        row = {}
        if numbers is not None:
            if len(numbers) != len(self.sources):
                raise self._unfit()
            found = [float(one) if np.isfinite(one) else None for one in numbers]
            row = dict(zip(self.sources, found, strict=True))
        arrays = {name: one for name, one in values.items() if name != "columns"}
        return Sample(name, row, self._fitting(arrays))

    def _recording(self, name: str, one: Mapping[str, Any]) -> Sample:
        rate = one["rate"]
        if type(rate) not in _PLAIN or not 0 < rate <= MOST_RATE or "signal" not in one:
            raise self._bad()
        values = self._numbers(one["signal"])
        leads = self.plan["leads"]
        if values.ndim != 2 or len(values) != len(leads) or not values.size:
            raise self._unfit()
        _check_finite({"signal": values})
        channels = placed(Channel(lead, "", float(rate), 1.0, 0.0) for lead in leads)
        seconds = values.shape[1] / rate
        row = row_of(channels, record=name, subject=name, duration_s=seconds)
        return Sample(name, row, {channels[0].array: values})

    def _of_document(self, name: str, one: Mapping[str, Any]) -> Sample:
        if "rate" in one:
            return self._recording(name, one)
        columns = one.get("columns") or {}
        fits = isinstance(columns, dict) and set(columns) <= set(self.sources)
        if not fits or not {type(value) for value in columns.values()} <= _NUMBERS:
            raise self._bad()
        arrays = {}
        for key in self.arrays:
            if key in one:
                arrays[key] = self._numbers(one[key])
        return Sample(name, dict(columns), self._fitting(arrays))

    def _numbers(self, value: Any) -> np.ndarray:
        listed = isinstance(value, list) and all(isinstance(lead, list) for lead in value)
        if not listed or not all({type(one) for one in lead} <= _PLAIN for lead in value):
            raise self._bad()
        if len({len(lead) for lead in value}) > 1:
            raise self._unfit()
        try:
            with np.errstate(over="ignore"):
                return np.array(value, np.float64).astype(np.float32)
        except OverflowError as error:
            raise self._bad() from error

    def _fitting(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        if set(arrays) != set(self.arrays):
            raise self._unfit()
        with np.errstate(over="ignore"):
            made = {name: np.asarray(one).astype(np.float32) for name, one in arrays.items()}
        if any(one.shape != self.shape for one in made.values()):
            raise self._unfit()
        _check_finite(made)
        return dict(made)

    def _unfit(self) -> DataError:
        return DataError(
            "the signals are not those that the model takes",
            code="model-mismatch",
            hint=f"expected {self._form}",
        )

    def _bad(self) -> DataError:
        return DataError(
            "the body does not have the form that the model takes",
            code="bad-json",
            hint=f"expected {self._form}, or a list of such objects",
        )


def _check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    if not all(np.isfinite(one).all() for one in arrays.values()):
        raise DataError("a value is NaN or infinite", code="nonfinite-signal")


def _values(one: Mapping[str, Any]) -> int:
    """How many a recording has; 0 of what is none."""
    signal = one.get("signal") if "rate" in one else None
    leads = signal if isinstance(signal, list) else []
    return sum(len(lead) for lead in leads if isinstance(lead, list))


def _any_of(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    return {"oneOf": kinds} if len(kinds) > 1 else kinds[0]


_PLAIN = frozenset({int, float})
_NUMBERS = frozenset({int, float, type(None)})
