import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import average_precision_score, roc_auc_score

from medray.errors import DataError
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.base import Task
from medray.tasks.metrics.anomaly import sensitivity_at, threshold_of
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.section import ScoredCases


def task_of(frequencies: list[float] | None = None, **options: object) -> Task:
    return build_task({"name": "anomaly", "normal": ["N"], **options}, frequencies)


def rows(labels: str, seconds: float = 0.8) -> list[dict[str, object]]:
    return [{"label": label, "rr": seconds} for label in labels]


def cases_of(task: Task, labels: str, surprises: list[float | None]) -> pa.Table:
    scored = []
    for at, (label, surprise) in enumerate(zip(labels, surprises, strict=True)):
        given = None
        if surprise is not None:
            given = Sample(str(at), task.decide(np.array([surprise])))
        truth = Sample(str(at), {"label": label, "rr": 0.8})
        (row,) = task.score(truth, given)
        scored.append({"case": str(at), "subject": f"s{at % 2}", **row})
    return pa.Table.from_pylist(scored)


def test_only_normal_samples_are_learnt() -> None:
    targets = task_of().targets(rows("NVSN"))
    assert targets is not None
    task = task_of(list(task_of().statistics(targets.numpy())))
    loss = task.loss(torch.tensor([[1.0], [100.0], [50.0], [3.0]]), targets)
    assert loss.tolist() == [2.0, 0.0, 0.0, 6.0]
    assert loss.mean().item() == 2.0  # the mean surprise of the two normal ones


def test_what_is_not_named_is_not_judged() -> None:
    task = task_of(anomalous=["V"])
    targets = task.targets([*rows("NVS"), {"label": None}])
    assert targets is not None
    kinds = targets[:, 0].tolist()
    assert kinds[:2] == [0.0, 1.0]
    assert np.isnan(kinds[2:]).all()
    (row,) = task.score(Sample("a", {"label": "S"}), Sample("a", {"surprise": 1.0}))
    assert row["status"] == "not-judged"


def test_no_normal_sample_is_an_error() -> None:
    targets = task_of().targets(rows("VV"))
    assert targets is not None
    with pytest.raises(DataError) as refused:
        task_of().statistics(targets.numpy())
    assert refused.value.code == "bad-target"


@pytest.mark.parametrize(("rate", "alarms"), [(0.0, 0), (0.1, 1), (0.25, 2), (1.0, 10)])
def test_a_threshold_lets_no_more_alarms_through(rate: float, alarms: int) -> None:
    surprises = np.array([3.0, 1, 7, 5, 2, 9, 4, 8, 6, 0])
    found = threshold_of(surprises, np.ones(10), rate)
    assert (surprises > found).sum() == alarms


def test_ties_do_not_break_the_allowance() -> None:
    surprises = np.array([1.0, 2, 2, 2, 3])
    found = threshold_of(surprises, np.ones(5), 0.4)  # two: but 2 stands there three times
    assert (surprises > found).sum() == 1
    assert np.isnan(threshold_of(np.zeros(0), np.zeros(0), 1.0))


def test_a_rate_an_hour_counts_time() -> None:
    surprises, hours = np.arange(7200.0), np.full(7200, 1 / 3600)  # a second each: two hours
    assert (surprises > threshold_of(surprises, hours, 5.0)).sum() == 10


def test_sensitivity_is_at_each_replicates_own_threshold() -> None:
    random = np.random.default_rng(0)
    surprises = random.integers(0, 12, 60).astype(float)  # with ties
    anomalous = random.random(60) < 0.3
    weights = random.integers(0, 3, (20, 60)).astype(float)
    got = sensitivity_at(surprises, anomalous, np.ones(60), 0.1, weights)
    for value, weight in zip(got, weights.astype(int), strict=True):
        drawn, truth = np.repeat(surprises, weight), np.repeat(anomalous, weight)
        limit = threshold_of(drawn[~truth], np.ones((~truth).sum()), 0.1)
        assert value == pytest.approx((drawn[truth] > limit).mean())


def test_validation_chooses_the_threshold() -> None:
    task = task_of(anomalous=["V"], seconds="rr", alarms_per_hour=1500.0)
    labels = "NNNNNNNNNNVVS"
    targets = task.targets(rows(labels))
    assert targets is not None
    surprises = np.array([[float(at)] for at in range(10)] + [[8.5], [3.0], [99.0]])
    found = task.summarise(surprises, targets.numpy())
    # Ten beats of 0.8 s are 8 s: 1,500 an hour are 3.3, so three alarm.
    assert found["val_threshold"] == 6.0
    assert found["val_surprise"] == 4.5
    assert found["val_sensitivity_at_rate"] == 0.5
    assert found["val_auroc"] == roc_auc_score([0] * 10 + [1, 1], surprises[:12, 0])
    assert task.chosen(found) == {"threshold": 6.0}
    assert task_of(threshold=1.0).chosen(found) == {}
    assert set(found) == task.validates
    for name in found:
        task.metric_of(name)


def test_alarms_and_their_rate() -> None:
    task = task_of(seconds="rr", alarms_per_hour=1.0, threshold=2.5)
    labels, surprises = "NNNNVVVN", [1.0, 2, 3, 2, 9, 2.6, 1, 0]
    summary = task.conclude(cases_of(task, labels, list(surprises)), Bootstrap(repeats=0))
    value = {name: one["value"] for name, one in summary["metrics"].items()}
    truth = [label == "V" for label in labels]
    assert value["auroc"] == roc_auc_score(truth, surprises)
    assert value["average_precision"] == pytest.approx(average_precision_score(truth, surprises))
    assert value["sensitivity"] == 2 / 3
    assert value["false_alarms_per_hour"] == pytest.approx(1 / (5 * 0.8 / 3600))
    assert value["sensitivity_at_rate"] == 1 / 3  # none may alarm: above 3 there is one of three
    assert summary["worst"][0]["surprise"] == 3.0


def test_without_a_threshold_there_are_no_alarms() -> None:
    task = task_of()
    assert task.decide(np.array([0.25])) == {"surprise": 0.25}
    summary = task.conclude(cases_of(task, "NV", [1.0, 2.0]), Bootstrap(repeats=0))
    assert "sensitivity" not in summary["metrics"]
    assert summary["metrics"]["auroc"]["value"] == 1.0
    rows = cases_of(task, "NVNV", [1.0, 9.0, 3.0, 2.0]).to_pylist()
    section = task.section(ScoredCases("beats", summary, rows))
    shown = {picture.title: [case for case, _ in picture.cases] for picture in section.pictures}
    assert shown["anomaly that surprises least"] == ["3", "1"]
    assert shown["normal that surprises most"] == ["2", "0"]
    assert "was chosen" not in section.definitions[0]


def test_a_case_without_prediction_is_the_worst_there_is() -> None:
    task = task_of(threshold=2.5)
    summary = task.conclude(cases_of(task, "NVNV", [1.0, 9.0, None, None]), Bootstrap(repeats=0))
    assert summary["counts"] == {"scored": 2, "no-prediction": 2}
    value = {name: one["value"] for name, one in summary["metrics"].items()}
    assert value["auroc"] == 0.25
    assert value["sensitivity"] == 0.5
    assert value["false_alarms_per_case"] == 0.5


def test_the_page_says_how_subjects_differ() -> None:
    task = task_of(threshold=2.5, seconds="rr", alarms_per_hour=1.0)
    cases = cases_of(task, "NVNVSN", [1.0, 9.0, 3.0, 2.0, 1.0, 1.0])
    summary = task.conclude(cases, Bootstrap(repeats=0))
    section = task.section(ScoredCases("beats", summary, cases.to_pylist()))
    (spread,) = [table for table in section.tables if table.title == "By subject"]
    first, second = spread.rows  # s0: N, N, S, of which the second alarms; s1: V, V, N
    assert (first["owner"], first["anomalies"], second["anomalies"]) == ("s0", 1, 2)
    assert first["hours"] == pytest.approx(3 * 0.8 / 3600)
    assert first["alarms"] == pytest.approx(3600 / (3 * 0.8))
    assert first["false_alarms"] == pytest.approx(3600 / (2 * 0.8))
    assert (second["false_alarms"], second["sensitivity"]) == (0.0, 0.5)
    roc, figure = section.figures
    assert (roc.title, figure.title) == ("ROC", "Alarms an hour, by subject")
    assert figure.data["limit"] == 1.0
    shown = {picture.title: [case for case, _ in picture.cases] for picture in section.pictures}
    assert shown == {"missed": ["4", "3"], "false alarm": ["2"]}
    assert section.tiles[-1].value == 2.5
    assert "chosen for at most 1 false alarms an hour" in section.notes[0]


def test_the_page_says_how_folds_differ() -> None:
    task = task_of(threshold=2.5)
    cases = cases_of(task, "NVNV", [1.0, 9.0, 3.0, 2.0]).to_pylist()
    rows = [row | {"fold": at // 2} for at, row in enumerate(cases)]
    summary = task.conclude(pa.Table.from_pylist(rows), Bootstrap(repeats=0))
    section = task.section(ScoredCases("beats", summary, rows))
    (table,) = [table for table in section.tables if table.title == "By fold"]
    assert [(row["owner"], row["auroc"]) for row in table.rows] == [("1", 0.0), ("0", 1.0)]
    assert [figure.title for figure in section.figures] == ["ROC", "Alarms a case, by subject"]


def test_cases_of_their_own_have_no_table_of_subjects() -> None:
    task = task_of(threshold=2.5)
    rows = [{**row, "subject": row["case"]} for row in cases_of(task, "NV", [1.0, 9.0]).to_pylist()]
    summary = task.conclude(pa.Table.from_pylist(rows), Bootstrap(repeats=0))
    section = task.section(ScoredCases("beats", summary, rows))
    assert [table.title for table in section.tables] == [""]


def test_verdicts_of_alarms() -> None:
    task = task_of(threshold=2.5, anomalous=["V"])

    def said(label: str, surprise: float) -> tuple[str, str, bool]:
        found = task.verdict({"label": label}, task.decide(np.array([surprise])))
        assert found is not None
        return found.truth, found.answer, found.wrong

    assert said("N", 1.0) == ("N", "", False)
    assert said("N", 9.0) == ("N", "alarm", True)
    assert said("V", 9.0) == ("V", "alarm", False)
    assert said("V", 1.0) == ("V", "none", True)
    assert said("S", 9.0) == ("S", "alarm", False)  # neither normal nor to be found
    assert task.verdict({}, None) is None


@pytest.mark.parametrize(
    "options",
    [
        {"alarms_per_hour": 2.0},
        {"anomalous": ["N"]},
        {"normal": []},
        {"seconds": -1.0},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        task_of(**options)


def test_a_surprise_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError) as refused:
        task_of().score(Sample("a", {"label": "N"}), Sample("a", {"surprise": float("nan")}))
    assert refused.value.code == "nonfinite-output"
