"""Numbers as they go into a dataset's attributes for pages: histograms and short lists."""

from typing import Any

import numpy as np

BINS = 100


def bins(low: float, high: float) -> np.ndarray:
    """Edges of a histogram's bins."""
    return np.linspace(low, high, BINS + 1)


def binned(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Counts by bin; what is beyond an end counts there, NaN nowhere."""
    known = values[~np.isnan(values)]
    counts: np.ndarray = np.histogram(np.clip(known, low, high), bins(low, high))[0]
    return counts


def listed(values: np.ndarray, digits: int = 5) -> list[Any]:
    """Numbers as JSON: rounded to significant digits, None for NaN and infinity."""
    return [
        float(f"{value:.{digits}g}") if np.isfinite(value) else None
        for value in np.asarray(values, np.float64).tolist()
    ]
