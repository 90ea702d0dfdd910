"""The task: what it takes for an event, the likelihood that it learns, the curves that it tells."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from medray.errors import DataError
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.survival import Survival
from medray.tasks.survival.cox import breslow, partial_likelihood
from medray.tasks.survival.hazard import cuts_of


def task_of(cuts: Any = None, **options: Any) -> Survival:
    """With loss "hazard" everybody has even odds in each interval."""
    if cuts is not None and options.get("loss") != "cox":
        cuts = [*cuts, *[0.0] * (len(cuts) * max(1, len(options.get("events", ()))))]
    made = build_task({"name": "survival", **options}, cuts)
    assert isinstance(made, Survival)
    return made


def rows(*pairs: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"sample_id": f"s{at}", "time": t, "event": e} for at, (t, e) in enumerate(pairs)]


def test_events_are_codes_or_words_that_are_named() -> None:
    target = task_of().targets(rows((3, 0), (2.5, 1), (0, 1.0), (1, True)))
    assert target is not None
    assert target.tolist() == [[3, 0], [2.5, 1], [0, 1], [1, 1]]
    words = task_of(events=["dead"], censored="alive")
    assert words.targets(rows((3, "alive"), (2, "dead"))).tolist() == [[3, 0], [2, 1]]  # type: ignore[union-attr]
    causes = task_of(events=["relapse", "death"])
    assert causes.targets(rows((1, 2), (2, "relapse"), (3, 0))).tolist() == [[1, 2], [2, 1], [3, 0]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        ((1, 2), "unknown-event"),  # a competing risk that nobody named is no event of ours
        ((1, "dead"), "unknown-event"),
        ((1, 0.5), "unknown-event"),
        ((1, -1), "unknown-event"),
        ((1, None), "bad-target"),
        ((None, 1), "bad-target"),
        ((-0.5, 1), "bad-target"),
        ((float("nan"), 1), "bad-target"),
        ((float("inf"), 1), "bad-target"),
        ((1e30, 1), "bad-target"),
        (("3", 1), "bad-target"),
    ],
)
def test_what_is_no_time_or_no_event_is_refused_by_name(pair: Any, code: str) -> None:
    with pytest.raises(DataError, match=code) as caught:
        task_of().targets(rows((1, 1), pair))
    assert caught.value.about == "s1"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "cox", "events": ["a", "b"]},
        {"events": ["a", "a"]},
        {"events": ["a"], "censored": "a"},
        {"times": [2.0, 1.0]},
        {"times": [0.0, 1.0]},
        {"horizons": [-1.0]},
        {"intervals": 0},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        task_of(**options)


def test_intervals_have_as_many_events_or_as_much_of_the_fall() -> None:
    time, event = np.arange(1.0, 13), np.array([1, 0] * 6)  # events at 1, 3, …, 11
    assert cuts_of(time, event, 3, "events") == [3.0, 7.0, 11.0]
    # Kaplan-Meier is 11/12, then times 9/10, 7/8, 5/6, 3/4, 1/2: a third of its fall is reached
    # at 5, two thirds at 9.
    assert cuts_of(time, event, 3, "survival") == [5.0, 9.0, 11.0]
    assert cuts_of(np.array([0.0, 4, 4]), np.ones(3), 20, "events") == [4.0]


def test_intervals_come_of_training_events_alone() -> None:
    values = np.array([[1, 1], [2, 0], [3, 1], [100, 0]], np.float32)
    # One of four dies at 1; then two live on to 2, which is the middle, and one dies at 3.
    odds = (np.log(1.5 / 3.5), np.log(1.5 / 2.5))
    assert task_of(intervals=2).statistics(values) == pytest.approx((1.0, 3.0, *odds))
    with pytest.raises(DataError, match="no-events"):
        task_of().statistics(values[[1, 3]])
    with pytest.raises(DataError, match="no-events"):
        task_of(events=["a", "b"]).statistics(values)


def likelihood(hazards: np.ndarray, cuts: list[float], time: float, cause: int) -> float:
    """Of one sample, interval by interval; hazards (causes, intervals)."""
    chance, begin = 1.0, 0.0
    for number, end in enumerate(cuts):
        none = 1 - hazards[:, number].sum()
        if cause and time <= end:
            return chance * float(hazards[cause - 1, number])
        if not cause and time < (begin + end) / 2:
            return chance
        chance *= none
        begin = end
    return chance


@pytest.mark.parametrize("events", [(), ("a", "b")])
def test_the_loss_is_the_likelihood_interval_by_interval(events: tuple[str, ...]) -> None:
    cuts = [1.0, 3.0, 7.0]
    task = task_of(cuts, events=events, intervals=5)  # of five outputs three stand for intervals
    causes = max(1, len(events))
    logits = torch.randn(60, causes * 5, generator=torch.manual_seed(0))
    random = np.random.default_rng(0)
    time = np.concatenate([random.uniform(0, 9, 52), [0, 1, 3, 7, 2, 5, 0.5, 8]])
    cause = random.integers(0, causes + 1, 60)
    target = torch.tensor(np.stack([time, cause], 1), dtype=torch.float32)
    loss = task.loss(logits, target)
    odds = logits.double().view(60, causes, 5)[:, :, :3].exp().numpy()
    hazards = odds / (1 + odds.sum(1, keepdims=True))
    wanted = [
        -np.log(likelihood(hazard, cuts, float(t), int(c)))
        for hazard, t, c in zip(hazards, target[:, 0].double(), cause, strict=True)
    ]
    assert loss.tolist() == pytest.approx(wanted, abs=1e-5)
    # And the curves are what such hazards make of a cohort.
    told = task.probabilities(logits).view(60, causes, 3).double().numpy()
    left = np.ones(60)
    made = np.zeros((60, causes))
    for number in range(3):
        made += left[:, None] * hazards[:, :, number]
        assert np.allclose(told[:, :, number], made, atol=1e-6)
        left *= 1 - hazards[:, :, number].sum(1)


def test_curves_are_told_at_the_times_of_the_task() -> None:
    task = task_of([2.0, 4.0], intervals=2, times=[1.0, 2.0, 3.0])
    logits = torch.zeros(1, 2)  # a half is left at 2, a quarter at 4
    assert task.probabilities(logits)[0].tolist() == pytest.approx([0.25, 0.5, 0.625])
    assert task.columns == 3


def test_an_answer_says_risk_survival_and_median() -> None:
    task = task_of([2.0, 4.0], intervals=2, horizons=[1.0, 4.0, 9.0])
    row = task.decide(np.array([0.2, 0.8], np.float32))
    assert row["times"] == [2.0, 4.0]
    assert row["survival"] == pytest.approx([0.8, 0.2])
    assert row["median"] == pytest.approx(3.0)
    assert row["risk"] == pytest.approx(0.5)
    assert row["survival_at"][:2] == pytest.approx([0.9, 0.2])
    assert row["survival_at"][2] is None  # nobody was watched so long
    assert task.decide(np.array([0.1, 0.4]))["median"] is None
    worse = task.decide(np.array([0.3, 0.9]))
    assert worse["risk"] > row["risk"]
    both = task_of([2.0, 4.0], events=["a", "b"]).decide(np.array([0.1, 0.3, 0.2, 0.4]))
    assert both["survival"] == pytest.approx([0.7, 0.3])
    assert both["incidence"] == {"a": pytest.approx([0.1, 0.3]), "b": pytest.approx([0.2, 0.4])}


@pytest.mark.parametrize("events", [(), ("a", "b")])
def test_answers_are_scored_as_they_were_given(events: tuple[str, ...]) -> None:
    task = task_of([2.0, 4.0], events=events)
    answer = np.array([0.1, 0.3, 0.2, 0.4])[: 2 * max(1, len(events))]
    truth = Sample("s", {"time": 3.0, "event": 1})
    (row,) = task.score(truth, Sample("s", task.decide(answer)))
    assert row["incidence"] == pytest.approx(answer.tolist())
    assert (row["time"], row["event"], row["status"]) == (3.0, 1, "scored")
    (row,) = task.score(truth, None)
    assert (row["status"], row["risk"]) == ("no-prediction", None)
    nothing = {"survival": [np.nan, 0.1], "incidence": {key: [np.nan, 0.1] for key in "ab"}}
    bad = task.decide(answer) | nothing
    with pytest.raises(DataError, match="nonfinite-output"):
        task.score(truth, Sample("s", bad))


def test_samples_settle_when_curves_are_told() -> None:
    values = np.array([[1, 1], [2, 0], [3, 1]], np.float32)
    assert task_of(intervals=2).settled(lambda: values) == {"times": [1.0, 3.0]}
    assert task_of(times=[5.0]).settled(lambda: values) == {}


def test_a_validation_knows_concordance_and_brier() -> None:
    task = task_of([1.0, 2.0, 3.0], intervals=3)
    table = np.array([[0.9, 1, 1], [0.1, 0.9, 1], [0.1, 0.2, 0.9], [0, 0.1, 0.2]])
    targets = np.array([[1, 1], [2, 1], [3, 1], [3, 0]], np.float32)
    found = task.summarise(table, targets)
    assert found["val_c_index"] == 1.0
    # Up to 1, while four are watched, squares of straight lines; at 1 the first has had its event.
    line, step = (0.9**2 + 0.1**2 + 0.1**2) / 4, 1 / 50
    wanted = line / 3 - step / 2 * (0.9**2 - 0.1**2) / 4
    assert found["val_brier"] == pytest.approx(wanted, abs=2e-5)
    assert set(found) == task.validates
    assert np.isnan(task.summarise(table, targets * [1, 0])["val_c_index"])


def test_cox_is_what_it_is_by_hand() -> None:
    # Deaths at 2 and 3, one lost at 2: all three, then the last alone, are at risk.
    target = torch.tensor([[2.0, 1], [2, 0], [3, 1]])
    risk = torch.tensor([0.5, -1.0, 2.0])
    loss = partial_likelihood(risk, target)
    first = np.log(np.exp([0.5, -1.0, 2.0]).sum()) - 0.5
    assert loss.tolist() == pytest.approx([first * 1.5, 0.0, 0.0], abs=1e-6)
    assert partial_likelihood(risk, target * torch.tensor([1, 0])).tolist() == [0, 0, 0]


def test_a_network_of_cox_tells_curves_by_breslow() -> None:
    time, event = np.array([1.0, 2, 2, 3, 4]), np.array([1, 1, 0, 1, 0])
    # Of equal risks it is Nelson's and Aalen's.
    nelson = [1 / 5, 1 / 5 + 1 / 4, 1 / 5 + 1 / 4 + 1 / 2]
    cuts = np.array([1.0, 2, 3])
    assert breslow(time, event, np.zeros(5), cuts).tolist() == pytest.approx(nelson)
    risk = np.array([0.3, -0.2, 0.1, 0.5, 2.5])
    values = np.stack([time, event], 1).astype(np.float32)
    task = task_of(loss="cox", intervals=3)
    before = task.statistics(values)
    assert before == pytest.approx((1, 2, 3, *nelson))
    assert task.whole_batch
    assert not task_of().whole_batch
    learning = task_of(before, loss="cox", intervals=3)
    told = learning.probabilities(torch.tensor(risk)[:, None]).numpy()
    after = learning.refitted(lambda: (told, values))
    assert after == pytest.approx((1, 2, 3, *breslow(time, event, risk, cuts)), rel=1e-4)
    learnt = task_of(after, loss="cox", intervals=3)
    curves = learnt.probabilities(torch.tensor(risk)[:, None]).double().numpy()
    wanted = 1 - np.exp(-np.exp(risk)[:, None] * breslow(time, event, risk, cuts))
    assert np.allclose(curves, wanted, atol=1e-4)
    assert task_of([1.0]).refitted(lambda: pytest.fail("nobody is to be asked")) == ()


def test_a_page_has_groups_calibration_and_directions() -> None:
    from medray.storage.shards.writer import table_of
    from medray.tasks.section import ScoredCases

    task = task_of([2.0, 4.0, 6.0])
    random = np.random.default_rng(0)
    scored = []
    for at in range(60):
        answer = np.sort(random.uniform(0, 1, 3))
        truth = Sample(f"s{at}", {"time": float(random.uniform(0.5, 7)), "event": at % 2})
        (row,) = task.score(truth, Sample(f"s{at}", task.decide(answer)))
        scored.append({"case": f"s{at}", "sample_id": f"s{at}", **row})
    summary = task.conclude(table_of(scored), Bootstrap(50))
    section = task.section(ScoredCases("scores", summary, scored, {"Cox": {"c_index": 0.5}}))
    assert [one.title for one in section.figures] == [
        "By predicted risk, in thirds", "Incidence, predicted and observed", "Brier score",
    ]  # fmt: skip
    assert section.tiles[0].beside == {"Cox": 0.5}
    assert any("higher is earlier" in one for one in section.definitions)
    from medray.report.figures import draw

    for one in section.figures:
        svg = draw(one)  # type: ignore[arg-type]
        assert svg.startswith("<svg")
    groups = draw(section.figures[0])  # type: ignore[arg-type]
    for name in ("low risk", "middle risk", "high risk"):
        assert name in groups
    assert ">20<" in groups, "a third of 60 is at risk at the beginning"
