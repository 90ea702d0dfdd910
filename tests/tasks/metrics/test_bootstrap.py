import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from medray.tasks.metrics.bootstrap import Bootstrap, Estimate, about, subjects
from medray.tasks.metrics.probability import auroc


def test_interval_of_a_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, 1.0, 80)
    got = Bootstrap(repeats=4000).mean(values)
    want = scipy_bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert got.value == pytest.approx(values.mean())
    assert got.low == pytest.approx(want.low, abs=0.02)
    assert got.high == pytest.approx(want.high, abs=0.02)
    assert got.cases == 80


def test_seed_decides_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random(40)
    first = Bootstrap(seed=1).mean(values)
    assert Bootstrap(seed=1).mean(values) == first
    assert Bootstrap(seed=2).mean(values) != first
    monkeypatch.setattr("medray.tasks.metrics.bootstrap._BLOCK_BYTES", 8 * 40 * 7)
    assert Bootstrap(seed=1).mean(values) == first


def test_coverage_is_near_the_level() -> None:
    random = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        got = Bootstrap(repeats=300).mean(random.normal(0.0, 1.0, 50))
        assert got.low is not None
        assert got.high is not None
        inside += got.low <= 0.0 <= got.high
    assert 0.88 <= inside / 200 <= 0.99


def test_subjects_are_drawn_whole() -> None:
    """Ten equal scans per patient carry no more information than one."""
    values = np.random.default_rng(6).normal(0.0, 1.0, 12)
    subjects = [f"s{i}" for i in range(12)]
    one = Bootstrap().mean(values, subjects)
    ten = Bootstrap().mean(np.repeat(values, 10), np.repeat(subjects, 10).tolist())
    assert one.low is not None
    assert (ten.low, ten.high) == (pytest.approx(one.low), pytest.approx(one.high))
    naive = Bootstrap().mean(np.repeat(values, 10))
    assert naive.low is not None
    assert naive.low > one.low


def test_replicates_without_an_answer_are_left_out() -> None:
    scores = np.array([0.1, 0.2, 0.4, 0.3, 0.9])
    positive = np.array([False, False, False, True, True])
    got = Bootstrap().estimate(lambda w: auroc(scores, positive, w), 5)
    assert got.value == pytest.approx(5 / 6)
    assert got.low is not None
    assert got.high == 1.0
    assert Bootstrap().estimate(lambda w: auroc(scores, scores > 1, w), 5).value is None
    assert Bootstrap().mean(np.empty(0)) == Estimate(None, None, None, 0, 0)


@pytest.mark.parametrize(
    ("groups", "behind", "subjects"),
    [
        (None, None, 9),
        (["a", "a", "a", "b", "b", "b", "c", "c", "d"], None, 4),
        (["a", "b", "c", "d", "e", "e", "e", "e", "e"], None, 5),
        (["a", "b", "c", "d", "e", "e", "e", "e", "e"], [True] * 4 + [False] * 5, 4),
        (None, [True] * 4 + [False] * 5, 4),
        (None, [True] * 5 + [False] * 4, 5),
    ],
)
def test_an_interval_takes_five_subjects(
    groups: list[str] | None, behind: list[bool] | None, subjects: int
) -> None:
    values = np.arange(9.0)
    got = Bootstrap().estimate(lambda w: w @ values / w.sum(axis=1), 9, groups, behind)
    assert (got.value, got.subjects) == (4.0, subjects)
    assert got.cases == (9 if behind is None else sum(behind))
    assert (got.low is not None) == (got.high is not None) == (subjects >= 5)


def test_without_repeats_there_is_no_interval() -> None:
    assert Bootstrap(repeats=0).mean(np.array([1.0, 2.0])) == Estimate(1.5, None, None, 2, 2)


def test_a_record_stands_for_a_subject_that_is_not_known() -> None:
    row = {"record": "r1", "subject": None, "label": "V"}
    assert about("a", row) == {"case": "a", "record": "r1"}
    assert about("b", {"record": "r1", "subject": "s"}) == {
        "case": "b", "record": "r1", "subject": "s",
    }  # fmt: skip
    cases = [about("d", {"record": "r1", "subject": "s"}), about("a", row), about("c", {})]
    cases.append(about("b", {"record": "r1", "subject": ""}))
    assert subjects(pa.Table.from_pylist(cases)) == ["s", "r1", "c", "r1"]
    assert subjects(pa.Table.from_pylist([{"case": "a"}])) is None
