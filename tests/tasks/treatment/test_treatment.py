"""The task `treatment-effect`: what is learnt of a sample, and what is said of all."""

from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import DataError
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import table_of
from medray.tasks import build_task
from medray.tasks.base import Task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.section import ScoredCases

TWO = [{"target": 3.0, "treatment": 1}, {"target": 1.0, "treatment": 0}]


def task_of(frequencies: list[float] | None = None, **options: Any) -> Task:
    return build_task({"name": "treatment-effect", **options}, frequencies)


def test_only_the_outcome_that_was_seen_is_learnt() -> None:
    task = task_of([2.0, 2.0, 0.5, 1.0], propensity_weight=0.0)
    target = task.targets(TWO)
    assert target is not None
    assert target.tolist() == [[3.0, 1.0], [1.0, 0.0]]
    answers = torch.tensor([[9.0, 1.5, 0.0], [0.5, 9.0, 0.0]], requires_grad=True)
    loss = task.loss(answers, target)
    assert loss.tolist() == pytest.approx([1.0, 1.0])  # deviations .5 and -.5 were seen
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert answers.grad is not None
    assert (answers.grad != 0).tolist() == [[False, True, False], [True, False, False]]


def test_the_propensity_is_learnt_from_all() -> None:
    task = task_of([2.0, 2.0, 0.5, 1.0])
    answers = torch.tensor([[0.0, 0.5, 1.2], [-0.5, 0.0, 1.2]])
    loss = task.loss(answers, task.targets(TWO)).numpy()
    assert loss == pytest.approx([np.log1p(np.exp(-1.2)), np.log1p(np.exp(1.2))])


def test_arms_count_the_same_however_many_they_are() -> None:
    answers, target = torch.zeros(2, 3), task_of().targets(TWO)
    plain, even = (
        task_of([2.0, 1.0, 0.2, 1.0], propensity_weight=0.0, balanced=one).loss(answers, target)
        for one in (False, True)
    )
    assert plain.tolist() == [1.0, 1.0]
    assert even.tolist() == pytest.approx([0.5 / 0.2, 0.5 / 0.8])


def test_a_lost_outcome_teaches_that_it_was_lost_and_nothing_else() -> None:
    task = task_of([2.0, 2.0, 0.5, 0.8], dropouts="weigh", propensity_weight=0.0)
    target = task.targets([{"target": None, "treatment": 1}])
    answers = torch.tensor([[1.0, 1.0, 1.0, 5.0, 0.7]], requires_grad=True)
    loss = task.loss(answers, target)
    assert loss.item() == pytest.approx(np.log1p(np.exp(0.7)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert answers.grad is not None
    assert (answers.grad != 0).tolist() == [[False, False, False, False, True]]
    with pytest.raises(DataError, match="bad-target"):
        task_of().targets([{"target": None, "treatment": 1}])


def test_of_potential_outcomes_the_given_one_is_learnt() -> None:
    task = task_of(outcome=["y0", "y1"], treatment="z")
    rows = [{"z": 1, "y0": 1.0, "y1": 4.0}, {"z": 0.0, "y0": 2.0, "y1": 5.0}]
    assert task.targets(rows).tolist() == [[4.0, 1.0], [2.0, 0.0]]  # type: ignore[union-attr]


@pytest.mark.parametrize("treatment", [None, 2, "1", True, 0.5])
def test_treatments_are_0_or_1(treatment: object) -> None:
    with pytest.raises(DataError, match="bad-target") as caught:
        task_of().targets([{"sample_id": "s", "target": 1.0, "treatment": treatment}])
    assert caught.value.about == "s"


def test_statistics_need_both_arms() -> None:
    values = np.array([[1.0, 0], [3.0, 1], [np.nan, 1], [5.0, 0]])
    assert task_of().statistics(values) == pytest.approx((3.0, np.std([1, 3, 5]), 0.5, 0.75))
    with pytest.raises(DataError, match="one-arm"):
        task_of().statistics(np.array([[1.0, 0], [np.nan, 1]]))


def test_answers_are_in_their_own_units() -> None:
    task = task_of([2.0, 2.0, 0.5, 1.0])
    found = task.probabilities(torch.tensor([[0.5, 1.0, 0.0]])).tolist()[0]
    assert found == [3.0, 4.0, 0.5]
    assert task.decide(np.array(found)) == {"y0": 3, "y1": 4, "propensity": 0.5, "effect": 1}
    second = task_of([2.0, 2.0, 0.5, 1.0], pseudo="p")
    assert second.probabilities(torch.tensor([[0.5]])).tolist() == [[3.0]]
    assert second.decide(np.array([3.0])) == {"effect": 3.0}


def test_a_placebo_is_drawn_by_id_for_the_share() -> None:
    task = task_of(placebo=0.3)
    rows = [{"sample_id": f"s{at}", "target": 1.0} for at in range(1000)]
    drawn = task.targets(rows).numpy()[:, 1]  # type: ignore[union-attr]
    assert drawn.mean() == pytest.approx(0.3, abs=0.04)
    given = Sample("s7", {"y0": 0.0, "y1": 1.0, "effect": 1.0, "propensity": 0.3})
    (row,) = task.score(Sample("s7", {"target": 1.0}), given)
    assert row["treated"] == drawn[7]


def scored(task: Task, count: int = 40) -> list[dict[str, Any]]:
    rows = []
    for at in range(count):
        truth = {"target": float(at % 5), "treatment": at % 2, "mu0": 1.0, "mu1": 2.5}
        answer = {"y0": 1.0, "y1": 3.0, "effect": 2.0, "propensity": 0.04 if at < 8 else 0.5}
        given = None if at == 39 else Sample(f"c{at}", answer)
        features = {"features": np.array([at % 2, at % 3], np.float32)}
        (row,) = task.score(Sample(f"c{at}", truth, features), given)
        rows.append({"case": f"c{at}", **row})
    return rows


def test_overlap_is_counted_and_nothing_is_clipped() -> None:
    task = task_of(truth=["mu0", "mu1"], covariates=["arm"])
    found = task.conclude(table_of(scored(task)), Bootstrap(repeats=20))
    assert found["excluded"] == {"no prediction": 1, "trimmed": 0, "no overlap": 0}
    without, treated = found["overlap"]
    assert (without["cases"], treated["cases"]) == (20, 19)
    assert [treated[f"outside_{edge:g}"] for edge in (0.01, 0.05, 0.1)] == [0, 4, 4]
    assert treated["largest_weight"] == pytest.approx(1 / 0.04)
    weights = np.array([25.0] * 4 + [2.0] * 15)
    assert treated["worth"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert found["metrics"]["root_pehe"]["value"] == pytest.approx(0.5)
    assert found["metrics"]["ate_error"]["value"] == pytest.approx(0.5)
    models, robust = found["estimates"][2:]
    assert models["ate"]["low"] is None  # how sure the models are, nobody has said
    assert models["ate"]["value"] == pytest.approx(2.0)
    assert robust["ate"] == found["metrics"]["ate"]
    assert robust["ate"]["low"] < robust["ate"]["value"] < robust["ate"]["high"]
    arm, other = found["balance"]
    assert (arm["feature"], arm["before"]) == ("arm", None)  # does not vary within an arm
    assert other["feature"] == "feature 2"
    trimmed = task_of(trim=0.05)
    told = trimmed.conclude(table_of(scored(trimmed)), Bootstrap(repeats=0))
    assert told["excluded"] == {"no prediction": 1, "trimmed": 8, "no overlap": 0}


def test_few_cases_that_weigh_for_all_are_warned_of() -> None:
    task = task_of()
    rows = scored(task)
    assert task.conclude(table_of(rows), Bootstrap(repeats=0))["cautions"] == []
    rows[1]["propensity"] = 1e-6  # of one of the treated
    (said,) = task.conclude(table_of(rows), Bootstrap(repeats=0))["cautions"]
    assert said.startswith("weights of 19 cases with treatment are worth 1.0 of them")


def test_a_treatment_without_a_chance_is_left_out_by_name() -> None:
    task = task_of()
    rows = scored(task)
    for row in rows[:4]:
        row["propensity"] = 0.0
    found = task.conclude(table_of(rows), Bootstrap(repeats=0))
    assert found["excluded"]["no overlap"] == 4
    assert np.isfinite(found["metrics"]["ate"]["value"])
    truth, answer = {"target": 1.0, "treatment": 1}, {"y0": 0.0, "y1": 1.0, "effect": 1.0}
    with pytest.raises(DataError, match="no-overlap"):
        task.second_stage(Sample("a", truth), Sample("a", {**answer, "propensity": 0.0}))  # type: ignore[attr-defined]


def test_balance_by_hand() -> None:
    task, rows = task_of(), []
    for treated, x, chance in ((1, 3.0, 0.75), (1, 1.0, 0.5), (0, 1.0, 0.5), (0, -1.0, 0.25)):
        answer = Sample("c", {"y0": 0.0, "y1": 0.0, "effect": 0.0, "propensity": chance})
        truth = {"target": 0.0, "treatment": treated}
        rows += task.score(Sample("c", truth, {"features": np.array([x])}), answer)
    table = table_of([{"case": str(at), **row} for at, row in enumerate(rows)])
    (found,) = task.conclude(table, Bootstrap(repeats=0))["balance"]
    # Means 2 and 0, variances 2 and 2; weights 4/3 and 2 of the treated, 2 and 4/3 of the others.
    after = (4 / 3 * 3 + 2 * 1) / (10 / 3) - (2 * 1 - 4 / 3) / (10 / 3)
    assert found["before"] == pytest.approx(2 / np.sqrt(2))
    assert found["after"] == pytest.approx(after / np.sqrt(2))


def test_a_page_is_made_of_any_summary() -> None:
    task = task_of()
    rows = scored(task)
    summary = task.conclude(table_of(rows), Bootstrap(repeats=20))
    section = task.section(ScoredCases("scores", summary, rows))
    assert [table.title for table in section.tables] == ["Effects", "Overlap", "Balance"]
    assert "1 no prediction" in section.tables[0].lead
