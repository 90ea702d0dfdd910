import math

import pytest

from medray.engine.training.rate import best_of, learning_rate, should_stop
from medray.spec.training import EarlyStopping, ScheduleSettings


def rates(**settings: object) -> list[float]:
    schedule = ScheduleSettings(**settings)
    return [learning_rate(step, 100, 2.0, schedule) for step in range(100)]


def test_warmup_is_linear_then_cosine_to_nothing() -> None:
    got = rates(warmup=0.1)
    assert got[:10] == pytest.approx([2 * (step + 1) / 11 for step in range(10)])
    assert got[10] == 2.0
    assert got[55] == pytest.approx(1 + math.cos(math.pi / 2))
    assert 0 < got[99] < 0.001


def test_poly_and_floor_and_constant() -> None:
    assert rates(name="poly", warmup=0)[50] == pytest.approx(2 * 0.5**0.9)
    assert rates(warmup=0, floor=0.1)[99] == pytest.approx(0.2, abs=0.001)
    assert set(rates(name="constant", warmup=0)) == {2.0}


def test_the_best_is_the_first_not_beaten() -> None:
    rows = [{"val_dice": value} for value in (0.1, 0.5, 0.5, 0.52, 0.4)]
    assert best_of(rows, "val_dice", higher_is_better=True) == 3
    assert best_of(rows, "val_dice", higher_is_better=True, min_delta=0.05) == 1
    assert best_of(rows, "val_dice", higher_is_better=False) == 0
    rows = [{}, {"val_dice": float("nan")}]
    assert best_of(rows, "val_dice", higher_is_better=True) is None


def test_patience_counts_validations_without_improvement() -> None:
    stopping = EarlyStopping(metric="val_dice", patience=2)
    rows = [{"val_dice": value} for value in (0.1, 0.5, 0.4, 0.5, 0.6)]
    higher = [should_stop(rows[:n], stopping, higher_is_better=True) for n in range(6)]
    assert higher == [0, 0, 0, 0, 1, 0]
    lower = [should_stop(rows[:n], stopping, higher_is_better=False) for n in range(6)]
    assert lower == [0, 0, 0, 1, 1, 1]
    assert not should_stop(rows, None, higher_is_better=True)
    assert should_stop([{}, {}], stopping, higher_is_better=True)
