"""Drift: what moves is told, chance is not, and few samples are no alarm."""

import numpy as np
import pyarrow as pa
import pytest

from medray.report.drift import compare, stability_index, statistics

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(0, 1, 4000)


def test_the_index_of_known_shares() -> None:
    """Two bins, 50 : 50 becomes 80 : 20: 0.3 ln(0.8 / 0.5) - 0.3 ln(0.2 / 0.5)."""
    reference = np.asarray([0.0, 0.0, 1.0, 1.0] * 3)
    tonight = np.asarray([0.0] * 8 + [1.0] * 2)
    assert stability_index(reference, tonight) == pytest.approx(0.3 * np.log(1.6 / 0.4))
    assert stability_index(reference, reference) == 0


def test_columns_become_numbers() -> None:
    table = pa.table(
        {
            "sample_id": ["a", "b", "c"],
            "mean": [1.0, None, float("nan")],
            "spacing_mm": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
            "has_label": [True, False, True],
            "affine": [[1.0], [1.0], [1.0]],
            "_row": [0, 1, 2],
        }
    )
    found = {name: values.tolist() for name, values in statistics(table).items()}
    assert found == {
        "mean": [1.0],
        "spacing_mm[0]": [1.0, 3.0, 5.0],
        "spacing_mm[1]": [2.0, 4.0, 6.0],
        "has_label": [1.0, 0.0, 1.0],
    }


def test_a_shift_comes_first() -> None:
    before = {"steady": NORMAL, "moved": NORMAL, "wider": NORMAL}
    tonight = {
        "steady": RANDOM.normal(0, 1, 200),
        "moved": RANDOM.normal(1.5, 1, 200),
        "wider": RANDOM.normal(0, 3, 200),
    }
    found = compare(before, tonight)
    assert [drift.verdict for drift in found] == ["shifted", "shifted", "steady"]
    assert (found[0].count, found[0].reference_count) == (200, 4000)
    assert found[-1].column == "steady"


@pytest.mark.parametrize("count", [8, 12, 30, 100])
def test_chance_is_no_alarm(count: int) -> None:
    """Two hundred columns of equal data: at most one is called shifted, at any size."""
    before = {f"c{n}": RANDOM.normal(0, 1, 300) for n in range(200)}
    tonight = {f"c{n}": RANDOM.normal(0, 1, count) for n in range(200)}
    verdicts = [drift.verdict for drift in compare(before, tonight)]
    assert verdicts.count("shifted") <= 1
    assert verdicts.count("watch") <= 6


def test_few_samples_tell_nothing_and_constants_do_not_move() -> None:
    (few,) = compare({"a": NORMAL}, {"a": NORMAL[:3] + 100})
    (constant,) = compare({"a": np.ones(50)}, {"a": np.ones(20)})
    (changed,) = compare({"a": np.ones(50)}, {"a": np.full(20, 2.0)})
    assert (few.verdict, constant.verdict, changed.verdict) == ("too few", "steady", "shifted")
    assert (constant.psi, constant.p) == (0, 1)
