"""What RDKit made of some rows, and how that passes from the process that did it."""

import json
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medray.storage.shards.rows import EndToEnd

_LENGTH = struct.Struct("<Q")


@dataclass
class Parsed:
    """What was made of some rows.

    Args:
        taken: numbers of those that are compounds, ascending.
        columns: of each of those, by name: texts, or None.
        arrays: of all of those, end to end.
        refused: number of each other one: code and reason.
    """

    taken: list[int] = field(default_factory=list)
    columns: dict[str, list[str | None]] = field(default_factory=dict)
    arrays: dict[str, EndToEnd] = field(default_factory=dict)
    refused: dict[int, tuple[str, str]] = field(default_factory=dict)

    def until(self, rows: int) -> "Parsed":
        """Of the first `rows` rows."""
        count = bisect_left(self.taken, rows)
        if count == len(self.taken):
            arrays = self.arrays
        else:
            arrays = {
                name: EndToEnd(values[: lengths[:count].sum()], lengths[:count])
                for name, (values, lengths) in self.arrays.items()
            }
        columns = {name: values[:count] for name, values in self.columns.items()}
        refused = {row: why for row, why in self.refused.items() if row < rows}
        return Parsed(self.taken[:count], columns, arrays, refused)

    def encode(self) -> bytes:
        """As `decode` takes it: JSON, and the bytes of arrays."""
        arrays = [(name, part) for name, parts in self.arrays.items() for part in parts]
        told = {
            "taken": self.taken,
            "columns": self.columns,
            "refused": [[row, *why] for row, why in self.refused.items()],
            "arrays": [[name, part.dtype.str, part.shape] for name, part in arrays],
        }
        text = json.dumps(told).encode()
        data = [np.ascontiguousarray(part).tobytes() for _, part in arrays]
        return b"".join([_LENGTH.pack(len(text)), text, *data])

    @classmethod
    def decode(cls, data: bytes) -> "Parsed":
        """What `encode` made."""
        at = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        told = json.loads(data[_LENGTH.size : at])
        parts: dict[str, list[np.ndarray]] = {}
        for name, kind, shape in told["arrays"]:
            count = int(np.prod(shape))
            part = np.frombuffer(data, np.dtype(kind), count, at).reshape(shape)
            parts.setdefault(name, []).append(part)
            at += part.nbytes
        arrays = {name: EndToEnd(*both) for name, both in parts.items()}
        refused = {int(row): (str(code), str(why)) for row, code, why in told["refused"]}
        return cls(told["taken"], told["columns"], arrays, refused)


def joined(parts: Sequence[tuple[int, Parsed]]) -> Parsed:
    """Parts of a batch as one, each with the number of its first row; in order."""
    if len(parts) == 1 and not parts[0][0]:
        return parts[0][1]
    whole = Parsed()
    arrays: dict[str, list[EndToEnd]] = {}
    for start, part in parts:
        whole.taken += [start + row for row in part.taken]
        whole.refused |= {start + row: why for row, why in part.refused.items()}
        for name, values in part.columns.items():
            whole.columns.setdefault(name, []).extend(values)
        for name, one in part.arrays.items():
            arrays.setdefault(name, []).append(one)
    for name, several in arrays.items():
        whole.arrays[name] = EndToEnd(*map(np.concatenate, zip(*several, strict=True)))
    return whole
