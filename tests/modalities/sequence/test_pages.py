"""Tracks of cases: what was answered for each base, over what is there."""

from collections.abc import Callable

import numpy as np

from medray.modalities.sequence import Sequences
from medray.modalities.sequence.pages import POINTS
from medray.report.figures import draw
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.section import Figure, Picture, ScoredCases, Section

Make = Callable[[str, list[Sample]], Dataset]
TASK = build_task({"name": "tagging", "classes": ["blank", "site"]})


def test_the_best_and_the_worst_sequence_are_drawn(make_dataset: Make) -> None:
    label = np.array([0, 1, 0, 255, 1, 0], np.uint8)
    sure = np.array([0.1, 0.9, 0.2, 0.5, 0.7, 0.3], np.float32)
    truth = make_dataset("truth", [Sample(f"w{i}", {}, {"label": label}) for i in range(3)])
    given = [Sample("w1", {}, {"probability": np.stack([1 - sure, sure])})]
    given.append(Sample("w0", {}, {"probability": np.stack([sure, 1 - sure])}))
    predictions = make_dataset("given", given)
    cases = [
        {"case": f"w{i}", "status": "scored", "f1": [score]} for i, score in ((0, 0.0), (1, 1.0))
    ]
    cases.append({"case": "w2", "status": "no-prediction", "f1": [0.0]})
    none = {"metrics": {}, "counts": {}, "cases": 3, "curves": {"roc": {}}}
    section = TASK.section(ScoredCases("scores", none, cases))
    shown = Sequences().illustrate(section, TASK, truth, predictions)
    assert shown.pictures == ()
    _, best, worst = shown.figures
    assert isinstance(best, Figure)
    assert isinstance(worst, Figure)
    assert (best.title, worst.title) == ("best: w1, F1 1.000", "worst: w0, F1 0.000")
    lines = best.data["lines"]
    assert lines["site"] == ([1, 2, 3, 4, 5, 6], sure.tolist())
    np.testing.assert_array_equal(lines["site, truth"][1], [0, 1, 0, np.nan, 1, 0])
    assert draw(best).startswith("<svg")


def test_a_long_sequence_is_drawn_by_its_highest(make_dataset: Make) -> None:
    label, probability = np.zeros(50_000, np.uint8), np.zeros((2, 50_000), np.float32)
    label[41_234] = 1
    probability[1, 7] = 1
    truth = make_dataset("truth", [Sample("w", {}, {"label": label})])
    given = make_dataset("given", [Sample("w", {}, {"probability": probability})])
    wanted = Section("s", pictures=[Picture("best", "said", [("w", "")])])
    (figure,) = Sequences().illustrate(wanted, TASK, truth, given).figures
    assert isinstance(figure, Figure)
    lines = figure.data["lines"]
    assert {name: (len(x), sum(y)) for name, (x, y) in lines.items()} == {
        "site": (POINTS, 1.0),
        "site, truth": (POINTS, 1.0),
    }
