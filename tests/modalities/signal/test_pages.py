"""Traces of cases: a beat among its neighbours, the truth and the answer above, mistakes marked."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.modalities.signal import Signals
from medray.modalities.signal.around import Around
from medray.modalities.signal.recordings import COLUMNS, lines_of
from medray.report.figures import draw
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.section import Figure, Picture, Section

Make = Callable[[str, list[Sample]], Dataset]
TASK = build_task({"name": "classification", "classes": ["N", "V"], "target": "label"})
RATE, LENGTH, EVERY = 100.0, 80, 70  # a beat every 0.7 s, cut from 0.3 s before it to 0.5 s after
TRUE = np.sin(np.arange(20 * EVERY) / 9) * 100  # of the record, digital


def beat(at: int, label: str = "N", record: str = "7", **row: Any) -> Sample:
    start = EVERY * at + 10
    signal = np.stack([TRUE[start : start + LENGTH]] * 2).astype(np.int16)
    context = np.zeros((2, LENGTH), np.float32)
    context[:, 30] = 1
    told = {
        "record": record, "rate": RATE, "leads": ["II", "V1"], "units": ["mV", "mV"],
        "gain": [200.0, 100.0], "baseline": [0.0, 0.0], "label": label, **row,
    }  # fmt: skip
    return Sample(f"b{at}", told, {"signal": signal, "context": context})


def chained(at: int, **more: Any) -> Sample:
    return beat(at, **{"rr_prev_s": 0.7 if at else None, "rr_next_s": 0.7, **more})


def test_neighbours_are_put_together_again(make_dataset: Make) -> None:
    data = make_dataset("beats", [chained(at) for at in range(15)])
    strip = Around(data).strip(7)
    assert [cut.index for cut in strip.cuts] == list(range(2, 13))  # 3.6 s to either side
    assert strip.cuts[strip.case].index == 7
    assert strip.cuts[strip.case].start_s == pytest.approx(0.0)  # where in the record: not known
    start = EVERY * 2 + 10
    wanted = np.trunc(TRUE[start : start + 10 * EVERY + LENGTH])
    np.testing.assert_allclose(strip.values[0], wanted / 200, atol=1e-6)
    np.testing.assert_allclose(strip.values[1], wanted / 100, atol=1e-6)
    assert strip.cuts[0].mark_s - strip.cuts[0].start_s == pytest.approx(0.3)


def test_a_beat_that_is_gone_ends_the_strip(make_dataset: Make) -> None:
    beats = [chained(at, rr_prev_s=0.75 if at == 10 else 0.7) for at in range(15) if at != 9]
    strip = Around(make_dataset("beats", beats)).strip(7)
    assert max(cut.index for cut in strip.cuts) == 8
    other = [chained(at, record=str(at // 8)) for at in range(15)]
    strip = Around(make_dataset("other", other)).strip(7)
    assert max(cut.index for cut in strip.cuts) == 7  # the next one is of another record


def test_places_in_the_record_are_absolute_and_gaps_stay(make_dataset: Make) -> None:
    beats = []
    for at in range(15):
        onset = (EVERY * at + 40) / RATE + (2.0 if at > 8 else 0.0)  # a gap of two seconds
        beats.append(beat(at, start_sample=EVERY * at + 10, onset_s=onset))
    strip = Around(make_dataset("beats", beats)).strip(7)
    own = strip.cuts[strip.case]
    assert own.start_s == pytest.approx(5.0)
    assert own.mark_s == pytest.approx(5.3)
    assert [cut.index for cut in strip.cuts] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert np.isnan(strip.values[0]).sum() == pytest.approx(190, abs=1)


def test_samples_that_do_not_say_their_place_stand_alone(make_dataset: Make) -> None:
    around = Around(make_dataset("beats", [beat(at) for at in range(3)]))
    assert [cut.index for cut in around.strip(1).cuts] == [1]
    lost = [beat(at, start_sample=None if at == 1 else 70 * at) for at in range(3)]
    around = Around(make_dataset("lost", lost))
    assert [cut.index for cut in around.strip(1).cuts] == [1]
    assert [cut.index for cut in around.strip(0).cuts] == [0, 2]


def test_what_has_no_gain_is_left_out(make_dataset: Make) -> None:
    beats = [chained(at, gain=[0.0, 1.0] if at in (6, 12) else [1.0, 1.0]) for at in range(15)]
    data = make_dataset("beats", beats)
    assert [cut.index for cut in Around(data).strip(3).cuts] == [0, 1, 2, 3, 4, 5, 7, 8]
    wanted = Section("s", pictures=[Picture("worst", "", [("b12", ""), ("b3", "V, error 0.9")])])
    given = make_dataset("given", [Sample(f"b{at}", {"predicted": "N"}) for at in range(15)])
    (figure,) = Signals().illustrate(wanted, TASK, data, given).figures
    assert figure.title == "V, error 0.9 · record 7 · b3"


def shown(make: Make, wanted: list[Picture], called: dict[int, str]) -> list[Figure]:
    data = make("beats", [chained(at, label="V" if at == 7 else "N") for at in range(15)])
    given = [
        Sample(f"b{at}", {"predicted": called.get(at, "N"), "probability": [0.5, 0.5]})
        for at in reversed(range(15))
        if at != 5
    ]
    section = Section("s", pictures=wanted)
    made = Signals().illustrate(section, TASK, data, make("given", given))
    assert made.pictures == ()
    return [figure for figure in made.figures if isinstance(figure, Figure)]


def test_mistakes_are_marked(make_dataset: Make) -> None:
    wanted = [Picture("worst", "said", [("b7", "V called N, error 0.90")])]
    (figure,) = shown(make_dataset, wanted, {9: "V"})
    assert figure.title == "V called N, error 0.90 · record 7 · b7"
    truth, answer = figure.data["rows"]
    assert [text for _, text, _ in truth["marks"]] == list("NNNNNVNNNNN")
    tones = {text + tone for _, text, tone in answer["marks"]}
    assert tones == {"Nplain", "Nwrong", "Vwrong", "plain"}
    assert [at for at, _, tone in answer["marks"] if tone == "wrong"] == [
        pytest.approx(0.3), pytest.approx(1.7),
    ]  # fmt: skip
    assert figure.data["bands"] == [(pytest.approx(0.0), pytest.approx(0.6), "wrong")]
    assert (figure.data["start_s"], figure.data["seconds"]) == (pytest.approx(-3.6), 8.0)
    assert figure.data["said"].startswith("7.8 s of II, V1, 11 samples; V answered as N at 0.3 s;")
    svg = draw(figure)
    assert svg.count("II, mV") == 1
    assert "median of the record" in svg


def test_names_of_windows_at_a_short_step_are_spans(make_dataset: Make) -> None:
    task = build_task({"name": "classification", "classes": ["open", "closed"], "target": "label"})
    windows, given = [], []
    for at in range(24):
        if at in (20, 21, 22):
            continue  # passed over
        row = {"record": "7", "rate": RATE, "leads": ["O1"], "label": ["open", "closed"][at > 9]}
        row |= {"start_sample": 25 * at}
        signal = np.arange(100, dtype=np.float32)[None]
        windows.append(Sample(f"w{at}", row, {"signal": signal}))
        given.append(Sample(f"w{at}", {"predicted": "open", "probability": [0.5, 0.5]}))
    wanted = Section("s", pictures=[Picture("worst", "", [("w12", "")])])
    data = make_dataset("windows", windows), make_dataset("given", given)
    (figure,) = Signals().illustrate(wanted, task, *data).figures
    assert isinstance(figure, Figure)
    truth, answer = ([one[:3] for one in row["spans"]] for row in figure.data["rows"])
    ends = [(0.375, 2.875, "open"), (2.875, 5.375, "closed"), (6.125, 6.375, "closed")]
    assert truth == [(pytest.approx(a), pytest.approx(b), name) for a, b, name in ends]
    assert answer == [(pytest.approx(a), pytest.approx(b), "open") for a, b, _ in ends]
    assert [one[3] for one in figure.data["rows"][1]["spans"]] == ["plain", "wrong", "wrong"]
    assert draw(figure).count(">open<") == 7  # four titles, and no room for one of the names


def test_without_cases_nothing_is_read(make_dataset: Make) -> None:
    assert shown(make_dataset, [], {}) == []


def test_stretches_of_windows_are_drawn_with_their_truth(make_dataset: Make) -> None:
    task = build_task({"name": "tagging", "classes": ["none", "noise"]})
    label = np.zeros(1000, np.uint8)
    label[100:300], label[900:] = 1, 255
    probability = np.zeros((2, 1000), np.float32)
    probability[0] = 0.5
    probability[1, 200:400] = probability[1, 600:700] = probability[1, 950:] = 0.9
    row = {"record": "7", "rate": RATE, "leads": ["II"], "start_sample": 2000}
    signal = np.zeros((1, 1000), np.float32)
    truth = make_dataset("truth", [Sample("w", row, {"signal": signal, "label": label})])
    given = make_dataset("given", [Sample("w", row, {"probability": probability})])
    wanted = Section("s", pictures=[Picture("worst", "F1 0.4", [("w", "")])])
    (figure,) = Signals().illustrate(wanted, task, truth, given).figures
    assert isinstance(figure, Figure)
    assert figure.title == "worst, F1 0.4 · record 7 · w"
    truths, answers = figure.data["rows"]
    assert truths["spans"] == [(21.0, 23.0, "noise", "plain")]
    assert answers["spans"] == [(22.0, 24.0, "noise", "right"), (26.0, 27.0, "noise", "wrong")]
    assert re.search("answer: noise from 22.0 to 24.0 s", draw(figure))


def test_half_an_hour_is_small() -> None:
    values = np.random.default_rng(0).normal(size=360 * 1800).astype(np.float32)
    values[123_456] = 50
    line = lines_of(values, 10.0, 1 / 360)
    assert len(line["low"]) == COLUMNS
    assert line["step_s"] == pytest.approx(1.8)
    assert int(np.argmax(line["high"])) == 123_456 * COLUMNS // len(values)
    lead = {"name": "II", "unit": "mV", "lines": [line]}
    data = {"said": "", "start_s": 10.0, "seconds": 1800.0, "leads": [lead]}
    assert len(draw(Figure("trace", "t", data))) < 40_000
