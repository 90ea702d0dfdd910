"""What a task says of a number that it makes: its name in words, its direction, its digits."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric, or a column of the rows of scores.

    Args:
        label: in words, with the unit.
        higher_is_better: its direction: of early stopping, best weights and pages.
        digits: behind the point.
        headline: whether it stands at the top of a page; where no metric of a task does, all do.
        per_class: whether the table of classes has it.
        per_case: whether the tables of cases have it, where rows do.
        best: the value that is best, where neither higher nor lower is; NaN: none is.
        kind: how a cell of it is read: a number, a whole one, words; a case's name and its status.
    """

    label: str
    higher_is_better: bool = True
    digits: int = 3
    headline: bool = False
    per_class: bool = True
    per_case: bool = True
    best: float | None = None
    kind: Literal["number", "count", "text", "id", "status"] = "number"
