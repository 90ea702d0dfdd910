"""Drift: whether tonight's samples are like those of the reference run, column by column.

Two measures, because each has its weakness: the population stability index says how much has moved,
the Kolmogorov-Smirnov test whether so few samples can tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

Values = np.ndarray
Verdict = Literal["steady", "watch", "shifted", "too few"]

BINS = 10
PER_BIN = 5  # expected samples in a bin, at least: fewer bins for few samples
FEWEST = 8
WATCH, SHIFTED = 0.1, 0.25  # of the stability index, as credit scoring has them
CHANCE = 0.01  # of a false alarm on a page, shared by its columns
_FLOOR = 1e-3  # a bin is never quite empty, or the index would be infinite
_PLACES = ("affine",)  # where a sample lies, not what it is like


@dataclass(frozen=True)
class Drift:
    """One column, tonight against the reference.

    Args:
        column: its name; of a list, with the place in it.
        count: samples of tonight that have a value.
        reference_count: of the reference.
        mean: of tonight.
        reference_mean: of the reference.
        reference_std: of the reference.
        psi: population stability index.
        ks: largest distance between the two distribution functions.
        p: chance of such a distance between samples of one distribution.
        verdict: "shifted" and "watch" need both measures; "too few" samples tell nothing.
    """

    column: str
    count: int
    reference_count: int
    mean: float
    reference_mean: float
    reference_std: float
    psi: float
    ks: float
    p: float
    verdict: Verdict


def statistics(table: pa.Table) -> dict[str, Values]:
    """The numbers that a table has of each sample: column → values, without nulls and NaN.

    Lists count element by element, as far as all rows have one.
    """
    found: dict[str, Values] = {}
    for field in table.schema:
        if field.name.startswith("_") or field.name in _PLACES:
            continue
        rows = [value for value in table[field.name].to_pylist() if value is not None]
        if _is_number(field.type):
            found[field.name] = _clean(rows)
        elif pa.types.is_list(field.type) and _is_number(field.type.value_type) and rows:
            length = min(map(len, rows))
            found |= {f"{field.name}[{i}]": _clean([row[i] for row in rows]) for i in range(length)}
    return {name: values for name, values in found.items() if len(values)}


def compare(reference: Mapping[str, Values], tonight: Mapping[str, Values]) -> list[Drift]:
    """Every column that both have, those that moved most first."""
    names = [name for name in reference if name in tonight]
    found = [_drift(name, reference[name], tonight[name], len(names)) for name in names]
    order: Sequence[Verdict] = ("shifted", "watch", "steady", "too few")
    return sorted(found, key=lambda drift: (order.index(drift.verdict), -drift.psi))


def stability_index(reference: Values, tonight: Values) -> float:
    """Population stability index over equal shares of the reference: the sum over bins of
    (a - b) ln(a / b), with a and b the shares of tonight's and the reference's samples."""
    bins = max(2, min(BINS, len(tonight) // PER_BIN))
    # A value that many share ends one bin, and makes no empty ones.
    ends = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = [
        np.maximum(
            np.bincount(np.searchsorted(ends, values), minlength=len(ends) + 1) / len(values),
            _FLOOR,
        )
        for values in (tonight, reference)
    ]
    return float(np.sum((shares[0] - shares[1]) * np.log(shares[0] / shares[1])))


def _drift(name: str, reference: Values, tonight: Values, columns: int) -> Drift:
    psi = stability_index(reference, tonight)
    from scipy.stats import ks_2samp  # half a second, which pages without a night are spared

    test = ks_2samp(reference, tonight)
    return Drift(
        column=name,
        count=len(tonight),
        reference_count=len(reference),
        mean=float(tonight.mean()),
        reference_mean=float(reference.mean()),
        reference_std=float(reference.std()),
        psi=psi,
        ks=float(test.statistic),
        p=float(test.pvalue),
        verdict=_verdict(min(len(reference), len(tonight)), psi, float(test.pvalue), columns),
    )


def _verdict(count: int, psi: float, p: float, columns: int) -> Verdict:
    if count < FEWEST:
        return "too few"
    if psi >= SHIFTED and p < CHANCE / columns:
        return "shifted"
    return "watch" if psi >= WATCH and p < CHANCE else "steady"


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _clean(values: Sequence[float | bool | None]) -> Values:
    numbers = np.asarray([value for value in values if value is not None], np.float64)
    return numbers[np.isfinite(numbers)]
