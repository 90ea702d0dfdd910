"""EDF and BDF files made by hand, field by field, so that no library decides what is right."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ANNOTATIONS = {2: "EDF Annotations", 3: "BDF Annotations"}


@dataclass
class Lead:
    """A signal: its fields as they are written, and digital values (records, samples)."""

    values: np.ndarray
    label: str = "EEG Fpz-Cz"
    transducer: str = "Ag-AgCl electrodes"
    unit: str = "uV"
    physical: tuple[str, str] = ("-200", "200")
    digital: tuple[str, str] = ("-2048", "2047")
    prefilter: str = "HP:0.5Hz LP:100Hz"


@dataclass
class File:
    """A file; what is no lead stands in `told`: bytes of annotations of each data record."""

    leads: Sequence[Lead]
    told: Sequence[bytes] = ()
    told_samples: int = 60
    fields: dict[str, Any] = field(default_factory=dict)
    width: int = 2

    def bytes(self) -> bytes:
        records = len(self.told) or len(self.leads[0].values)
        many = len(self.leads) + bool(self.told)
        plus = "EDF+C" if self.told else ""
        at = {
            "version": "0" if self.width == 2 else "\xffBIOSEMI",
            "patient": "MCH-0234567 F 02-MAY-1951 Haagse_Harry",
            "recording": "Startdate 02-MAR-2002 EMG561 BK/JOP Sony." if self.told else "psg",
            "date": "02.03.02",
            "time": "16.13.05",
            "size": 256 * (1 + many),
            "kind": plus.replace("EDF", "BDF") if self.width == 3 else plus,
            "records": records,
            "duration": "1",
            "many": many,
            **self.fields,
        }
        widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
        head = b"".join(
            padded(value, width) for value, width in zip(at.values(), widths, strict=True)
        )
        samples = [lead.values.shape[1] for lead in self.leads]
        columns = [
            (16, [lead.label for lead in self.leads], ANNOTATIONS[self.width]),
            (80, [lead.transducer for lead in self.leads], ""),
            (8, [lead.unit for lead in self.leads], ""),
            (8, [lead.physical[0] for lead in self.leads], "-1"),
            (8, [lead.physical[1] for lead in self.leads], "1"),
            (8, [lead.digital[0] for lead in self.leads], "-32768"),
            (8, [lead.digital[1] for lead in self.leads], "32767"),
            (80, [lead.prefilter for lead in self.leads], ""),
            (8, samples, self.told_samples),
            (32, ["" for _ in self.leads], ""),
        ]
        for width, cells, last in columns:
            head += b"".join(
                padded(cell, width) for cell in [*cells, *([last] if self.told else [])]
            )
        body = []
        for record in range(records):
            body += [packed(lead.values[record], self.width) for lead in self.leads]
            if self.told:
                body.append(self.told[record].ljust(self.told_samples * self.width, b"\0"))
        return head + b"".join(body)


def padded(value: object, width: int) -> bytes:
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
    assert len(raw) <= width
    return raw.ljust(width)


def packed(values: np.ndarray, width: int) -> bytes:
    """Little-endian two's complement of 16 or 24 bits."""
    if width == 2:
        return values.astype("<i2").tobytes()
    return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def noise(records: int, samples: int, seed: int = 0, bits: int = 16) -> np.ndarray:
    """Digital values over all of the range, (records, samples)."""
    most = 2 ** (bits - 1)
    return np.random.default_rng(seed).integers(-most, most, (records, samples))


def clocked(begins: Sequence[str], notes: dict[int, bytes] | None = None) -> list[bytes]:
    """Annotations of data records that begin then, and what else stands in some."""
    return [
        f"{begin}\x14\x14\0".encode() + (notes or {}).get(number, b"")
        for number, begin in enumerate(begins)
    ]
