"""Sections as data: what a task has to show when it says nothing but its metrics."""

from medray.tasks.metric import Metric
from medray.tasks.section import picked

DICE = Metric("Dice")


def test_best_median_and_worst() -> None:
    def rows(case: str, *dice: float | None, status: str = "scored") -> list[dict]:
        return [{"case": case, "dice": d, "status": status} for d in dice]

    def chosen(cases: list[dict]) -> list[tuple[str, str]]:
        return [(what, case) for what, case, _ in picked(cases, "dice", DICE)]

    cases = (
        rows("a", 0.9, 0.8)
        + rows("b", 0.5, None)
        + rows("c", 0.99)
        + rows("lost", 0.0, status="no-prediction")
        + rows("healthy", None, status="absent")
    )
    assert chosen(cases) == [("best", "c"), ("median", "a"), ("worst", "b")]
    assert chosen(cases[:2]) == [("best", "a")]
    assert chosen(cases[:4]) == [("best", "a"), ("worst", "b")]
    assert chosen([]) == []
