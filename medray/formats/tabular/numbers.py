"""Numbers of cells of text."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "?", "."})


def numbers(cells: Sequence[str]) -> np.ndarray:
    """Cells as float32 (n,), NaN where one of MISSING stands.

    Raises:
        ValueError: a cell is no finite number; its position is the argument.
    """
    with suppress(ValueError):
        # float() takes 1_000 and inf, which no table means.
        values = np.array(list(map(float, cells)), np.float64)
        if np.isfinite(values).all() and "_" not in "".join(cells):
            return _single(values)
    found = np.empty(len(cells), np.float64)
    for at, cell in enumerate(cells):
        text = cell.strip()
        try:
            found[at] = np.nan if text in MISSING else float(text)
        except ValueError as error:
            raise ValueError(at) from error
        if np.isinf(found[at]) or "_" in text:
            raise ValueError(at)
    return _single(found)


def _single(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    beyond = np.flatnonzero(np.isinf(single))
    if beyond.size:
        raise ValueError(int(beyond[0]))
    return single
