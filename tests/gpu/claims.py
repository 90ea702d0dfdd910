"""Figures against their bars, and the table of them."""

from dataclasses import dataclass

import pytest

ON_CARD = [pytest.mark.gpu, pytest.mark.needs("gpu")]
CUDA = pytest.param("cuda", marks=ON_CARD)
ROWS: list[tuple[str, str, str]] = []  # what, value, bar


@dataclass(frozen=True)
class Claim:
    """Holds figures of a device against their bars.

    A CPU runs the same parts in small: its figures do not stand in the table, and speeds of it are
    held against nothing.
    """

    device: str

    def at_most(self, what: str, value: float, bar: float, *, on_cpu: float) -> None:
        """A difference; a bar of its own on a CPU, where the arithmetic is the same."""
        self._tell(what, value, f"≤ {bar:g}")
        assert value <= (bar if self.device == "cuda" else on_cpu), f"{what}: {value}"

    def at_least(self, what: str, value: float, bar: float) -> None:
        """A speed, as a share of what it could be."""
        self._tell(what, value, f"≥ {bar:g}")
        assert value >= (bar if self.device == "cuda" else 0.0), f"{what}: {value}"

    def _tell(self, what: str, value: float, bar: str) -> None:
        if self.device == "cuda":
            ROWS.append((what, f"{value:.3g}", bar))
