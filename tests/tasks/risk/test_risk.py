"""The task `risk`: targets, loss, what the validation chooses, and what it says of cases."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from medray.errors import DataError
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.base import Task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.risk.calibration import fitted


def task_of(**options: object) -> Task:
    return build_task({"name": "risk", **options})


def validated(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    risks = random.random(count)
    return risks[:, None], (random.random(count) < 0.3 * risks).astype(np.int64)


def test_an_event_is_a_name_a_number_or_a_value_above() -> None:
    named = task_of(classes=["B", "M"], target="diagnosis")
    rows = [{"diagnosis": one} for one in ("B", "M", 0, 1.0)]
    assert named.targets(rows).tolist() == [0, 1, 0, 1]  # type: ignore[union-attr]
    above = task_of(target="num", above=0)
    assert above.targets([{"num": one} for one in (0, 4, 0.5)]).tolist() == [0, 1, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        *(({}, value) for value in (2, None, "maybe")),
        *(({"above": 0}, value) for value in (None, "1", float("nan"), True)),
    ],
)
def test_unusable_targets_are_named(options: dict, value: object) -> None:
    with pytest.raises(DataError, match="bad-target") as caught:
        task_of(**options).targets([{"sample_id": "s1", "target": value}])
    assert caught.value.about == "s1"


@pytest.mark.parametrize(
    "options",
    [
        {"thresholds": []},
        {"thresholds": [0.0]},
        {"sensitivities": [1.1]},
        {"classes": ["a", "a"]},
        {"sensitivities": [0.9], "cutoffs": [0.1, 0.2]},
        {"curve": [1.0]},
        {"calibration": "isotonic", "curve": [0.1, 0.2, 0.3]},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(ValidationError):
        task_of(**options)


def test_loss_is_the_cross_entropy_of_two_classes() -> None:
    logits, events = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    wanted = functional.cross_entropy(logits, events, reduction="none")
    assert torch.allclose(task_of().loss(logits, events), wanted, atol=1e-6)
    raw = task_of(calibration="none").probabilities(logits)
    assert torch.allclose(raw, logits.softmax(1), atol=1e-6)


def test_the_validation_chooses_a_curve_and_cutoffs_on_calibrated_risks() -> None:
    table, events = validated()
    task = task_of(calibration="platt", sensitivities=[0.9], alert_rates=[0.1])
    assert task.calibrates
    assert task.across
    chosen = task.chosen_by(table, events)
    wanted = fitted("platt", table[:, 0], events.astype(np.float64))
    assert chosen["curve"] == pytest.approx(wanted)
    made = task_of(calibration="platt", sensitivities=[0.9], alert_rates=[0.1], **chosen)
    assert not made.calibrates
    logits = torch.tensor(np.stack([0 * table[:, 0], np.log(table[:, 0] / (1 - table[:, 0]))], 1))
    answers = made.probabilities(logits).numpy()
    assert answers[:, 1].mean() == pytest.approx(events.mean(), abs=0.01)
    rows = [made.decide(one) for one in answers]
    alerts = np.array([row["alerts"][1:] for row in rows])
    assert alerts[events == 1, 0].mean() >= 0.9
    assert alerts[:, 1].mean() == pytest.approx(0.1, abs=0.01)
    assert made.describe()[0].startswith("risks are calibrated")


def test_of_folds_each_curve_is_chosen_by_the_others() -> None:
    table, events = validated()
    parts = [(table[at::3], events[at::3]) for at in range(3)]
    told, each = task_of(calibration="platt").chosen_across(parts)
    own = np.concatenate([parts[0][0], parts[2][0]]), np.concatenate([parts[0][1], parts[2][1]])
    wanted = fitted("platt", own[0][:, 0], own[1].astype(np.float64))
    assert each[1]["curve"] == pytest.approx(wanted)
    assert told["curve"] != each[1]["curve"]


def test_nothing_is_uncalibrated_in_silence() -> None:
    rows = [
        {"case": f"c{at}", "status": "scored", "risk": 0.1 * at, "event": at % 2, "alerts": [0]}
        for at in range(8)
    ]
    from medray.storage.shards.writer import table_of

    for options, said in (
        ({}, "not calibrated"),
        ({"calibration": "none"}, "no calibration"),
    ):
        summary = task_of(**options).conclude(table_of(rows), Bootstrap(repeats=0))
        assert said in summary["cautions"][0]
    calibrated = task_of(curve=[0.0, 1.0]).conclude(table_of(rows), Bootstrap(repeats=0))
    assert "cautions" not in calibrated


def test_a_case_is_scored_by_its_risk_and_by_the_worst_without() -> None:
    task = task_of(classes=["B", "M"], thresholds=[0.2, 0.5])
    answer = Sample("a", task.decide(np.array([0.7, 0.3])))
    assert answer.row["predicted"] == "M"  # at the first point
    assert answer.row["alerts"] == [1, 0]
    truth = Sample("a", {"target": "M"})
    assert task.score(truth, answer) == [
        {"status": "scored", "event": 1, "risk": 0.3, "alerts": [1, 0], "error": 0.7}
    ]
    (worst,) = task.score(truth, None)
    assert (worst["status"], worst["risk"], worst["error"]) == ("no-prediction", 0.0, 1.0)
    spoilt = Sample("a", {"probability": [0.5, float("nan")]})
    with pytest.raises(DataError, match="nonfinite-output"):
        task.score(truth, spoilt)


def test_a_verdict_says_what_was_called() -> None:
    task = task_of(classes=["B", "M"])
    answer = task.decide(np.array([0.7, 0.3]))
    found = task.verdict({"target": "M"}, answer)
    assert found is not None
    assert (found.truth, found.answer, found.wrong) == ("M", "B, risk 0.300", True)
