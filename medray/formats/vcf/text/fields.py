"""What defines an INFO or FORMAT field, and the fields that the specification itself defines."""

from dataclasses import dataclass
from typing import Literal

TYPES = ("Integer", "Float", "Flag", "Character", "String")
Category = Literal["INFO", "FORMAT"]

# VCF 4.3, tables 1 and 2. Files of older versions define some of them otherwise (GATK's AD had
# Number=.), so they are held to it from 4.3 on only.
RESERVED: dict[Category, dict[str, tuple[str, str]]] = {
    "INFO": {
        "AA": ("1", "String"), "AC": ("A", "Integer"), "AD": ("R", "Integer"),
        "ADF": ("R", "Integer"), "ADR": ("R", "Integer"), "AF": ("A", "Float"),
        "AN": ("1", "Integer"), "BQ": ("1", "Float"), "CIGAR": ("A", "String"),
        "DB": ("0", "Flag"), "DP": ("1", "Integer"), "END": ("1", "Integer"),
        "H2": ("0", "Flag"), "H3": ("0", "Flag"), "MQ": ("1", ""), "MQ0": ("1", "Integer"),
        "NS": ("1", "Integer"), "SOMATIC": ("0", "Flag"),
        "VALIDATED": ("0", "Flag"), "1000G": ("0", "Flag"),
    },
    "FORMAT": {
        "AD": ("R", "Integer"), "ADF": ("R", "Integer"), "ADR": ("R", "Integer"),
        "DP": ("1", "Integer"), "EC": ("A", "Integer"), "FT": ("1", "String"),
        "GL": ("G", "Float"), "GP": ("G", "Float"), "GQ": ("1", "Integer"),
        "GT": ("1", "String"), "HQ": ("2", "Integer"), "MQ": ("1", "Integer"),
        "PL": ("G", "Integer"), "PQ": ("1", "Integer"), "PS": ("1", "Integer"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One INFO or FORMAT definition.

    Args:
        category: which of the two.
        name: ID.
        number: as written: an integer, or one of A, R, G and ".".
        type: one of `TYPES`.
        description: as written, without its quotes.
    """

    category: Category
    name: str
    number: str
    type: str
    description: str = ""
