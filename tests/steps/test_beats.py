"""Beats of recordings: places, classes, rhythm and values, made up and of real records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

from medray.errors import DataError
from medray.formats.signal.recording import Segment
from medray.formats.signal.resampling import Resampler
from medray.jobs.run import run
from medray.steps.transform.transforms.beats import BeatOptions, Beats
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from tests.recordings import beat, mitbih, recording

Make = Callable[[str, list[Sample]], Dataset]


def beats_of(objects: Objects, **options: Any) -> Dataset:
    """What the transformation makes of the dataset `recordings`."""
    step = {
        "kind": "transform",
        "data": "recordings",
        "operation": {"name": "beats", **options},
        "output": "beats",
    }
    run([step], storage=objects, cluster="inline")
    return open_dataset(objects, "beats")


def ramp(size: int, *, leads: int = 1) -> np.ndarray:
    """Every sample says where it is, each lead a thousand further on."""
    return (np.arange(size) + 1000 * np.arange(leads)[:, None]).astype(np.int16)


def test_a_beat_is_cut_around_its_place_and_says_where(
    objects: Objects, make_dataset: Make
) -> None:
    marks = [beat(3, 100.0), beat(20, 100.0, "V"), beat(30, 100.0, "+"), beat(45, 100.0, "A")]
    one = recording("r1", {100.0: ramp(50, leads=2)}, annotations=marks, split="val", fold=3)
    make_dataset("recordings", [one])
    made = beats_of(objects, before_s=0.05, after_s=0.1, leads=[["II", "b"]])
    rows = made.samples.to_pylist()
    assert [row["sample_id"] for row in rows] == ["r1:0", "r1:1", "r1:3"]
    assert [(row["symbol"], row["label"]) for row in rows] == [("N", "N"), ("V", "V"), ("A", "S")]
    assert [row["start_sample"] for row in rows] == [-2, 15, 40]
    assert [row["sample"] for row in rows] == [3, 20, 45]
    assert [row["padded"] for row in rows] == [2, 0, 5]
    assert [row["rr_prev_s"] for row in rows] == [None, pytest.approx(0.17), pytest.approx(0.25)]
    assert [row["rr_next_s"] for row in rows] == [pytest.approx(0.17), pytest.approx(0.25), None]
    assert [row["rr_median_s"] for row in rows] == [pytest.approx(0.21)] * 3
    assert rows[0]["leads"] == ["II"], "for what stands for it"
    assert (rows[0]["record"], rows[0]["subject"]) == ("r1", "r1")
    assert (rows[0]["split"], rows[0]["fold"], rows[0]["gain"]) == ("val", 3, [200.0])
    signals = [made.array(number, "signal")[...] for number in range(3)]
    assert signals[0].dtype == np.int16
    assert signals[0][0].tolist() == [1000, 1000, *range(1000, 1013)]
    assert signals[1][0].tolist() == list(range(1015, 1030))
    assert signals[2][0].tolist() == [*range(1040, 1050), *[1049] * 5]


def test_every_annotation_is_accounted_for(objects: Objects, make_dataset: Make) -> None:
    marks = [beat(n, 100.0, s) for n, s in ((2, "N"), (20, "N"), (25, "~"), (28, "+"), (30, "F"))]
    marks += [beat(70, 100.0), beat(20, 100.0, annotator="qrs")]
    make_dataset("recordings", [recording("r1", {100.0: ramp(50)}, annotations=marks)])
    made = beats_of(
        objects,
        before_s=0.05,
        after_s=0.05,
        edges="leave-out",
        annotator="atr",
        classes={"normal": ["N"]},
    )
    assert [row["label"] for row in made.samples.to_pylist()] == ["normal"]
    told = {row["code"]: row["reason"] for row in made.quarantine().to_pylist()}
    assert told == {
        "annotations-of-others": "1 annotations of others",
        "annotations-that-are-no-beats": "2 annotations that are no beats",
        "beats-at-an-edge": "1 beats at an edge",
        "beats-in-a-gap-or-outside": "1 beats in a gap or outside",
        "beats-of-other-classes": "1 beats of other classes",
    }
    assert set(made.quarantine()["kind"].to_pylist()) == {"passed-over"}
    assert made.inputs.quarantined == 0


def test_beats_beside_a_gap_see_nothing_across_it(objects: Objects, make_dataset: Make) -> None:
    marks = [beat(n, 100.0) for n in (18, 30, 52, 60)]  # the recording lacks samples 20 to 50
    segments = [Segment(0.0, 0.2), Segment(0.5, 0.2)]
    make_dataset(
        "recordings", [recording("r", {100.0: ramp(40)}, annotations=marks, segments=segments)]
    )
    made = beats_of(objects, before_s=0.04, after_s=0.04, context=True)
    rows = made.samples.to_pylist()
    assert [(row["sample"], row["start_sample"]) for row in rows] == [(18, 14), (52, 18), (60, 26)]
    assert [row["rr_next_s"] for row in rows] == [None, pytest.approx(0.08), None]
    assert made.array(0, "signal")[...][0].tolist() == [14, 15, 16, 17, 18, 19, 19, 19]
    assert made.array(1, "signal")[...][0].tolist() == [20, 20, 20, 21, 22, 23, 24, 25]
    assert made.array(2, "signal")[...][0].tolist() == list(range(26, 34))


def test_the_context_is_the_median_of_all_beats(objects: Objects, make_dataset: Make) -> None:
    values = np.zeros((1, 90), np.int16)
    for at, height in ((10, 100), (40, 300), (70, 900)):
        values[0, at - 1 : at + 2] = [height, 2 * height, -height]
    marks = [beat(10, 100.0), beat(40, 100.0), beat(70, 100.0, "V")]
    make_dataset("recordings", [recording("r", {100.0: values}, baseline=50, annotations=marks)])
    made = beats_of(objects, before_s=0.02, after_s=0.03, context=True, values="physical")
    middle = np.array([0, 300, 600, -300, 0])
    for number, height in enumerate((100, 300, 900)):
        context = made.array(number, "context")[...]
        assert context.dtype == np.float32
        assert np.allclose(context[0], (middle - 50) / 200)
        assert np.allclose(made.array(number, "signal")[...][0] * 200 + 50, middle / 300 * height)
    assert "gain" not in made.samples.column_names


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"leads": ["V9"]}, "no-such-lead"),
        ({}, "mixed-rates"),
        ({"leads": ["a"], "annotator": "qrs"}, "no-beats"),
        ({"leads": ["a"]}, "which-annotator"),
        ({"leads": ["a"], "annotator": "atr", "before_s": 0, "after_s": 0.001}, "no-samples"),
    ],
)
def test_what_cannot_be_cut_is_refused(options: dict[str, Any], code: str) -> None:
    marks = [beat(5, 100.0), beat(9, 100.0, annotator="other")]
    one = recording("r", {100.0: ramp(50), 25.0: ramp(13)}, annotations=marks)
    made = Beats(BeatOptions(**options), {}, {})
    with pytest.raises(DataError) as caught:
        list(made.apply(InMemory(one)))
    assert caught.value.code == code


def test_resampled_beats_are_those_of_the_whole_record(
    objects: Objects, make_dataset: Make
) -> None:
    values = np.random.default_rng(1).integers(-2000, 2000, (2, 7000)).astype(np.int16)
    marks = [beat(n, 360.0) for n in (5, 36, 108, 700, 3333, 6990)]
    make_dataset("recordings", [recording("r", {360.0: values}, annotations=marks)])
    made = beats_of(objects, before_s=0.352, after_s=0.648, rate=125)
    window = Resampler(360.0, 125.0).taps / 25
    whole = resample_poly(values.astype(float), 25, 72, axis=1, window=window, padtype="edge")
    whole = np.pad(np.rint(whole), ((0, 0), (44, 81)), mode="edge")
    for number, mark in enumerate(marks):
        at = round(mark.sample * 25 / 72)
        assert made.samples["start_sample"][number].as_py() == at - 44
        assert np.array_equal(made.array(number, "signal")[...], whole[:, at : at + 125])


@pytest.mark.real_data
def test_beats_of_four_records_are_those_of_the_published_file(data_dir: Path) -> None:
    published = np.load(data_dir / "biosignal/mitbih_beats/mitbih_DS1_beats.npz")
    records = ["106", "119", "203", "208"]  # of DS1, those whose raw files are there
    cut = {"before_s": 0.352, "after_s": 0.648, "rate": 125, "edges": "leave-out"}
    transformation = Beats(BeatOptions(leads=["MLII"], **cut), {}, {})
    made = [
        one
        for name in records
        for one in transformation.apply(InMemory(mitbih(data_dir, name)))
        if isinstance(one, Sample)
    ]
    mine = np.isin(published["record"], [int(name) for name in records])
    assert len(made) == mine.sum() == 2026 + 1986 + 2978 + 2953
    rows = {name: [one.row[name] for one in made] for name in made[0].row}
    assert [int(name) for name in rows["record"]] == published["record"][mine].tolist()
    assert rows["symbol"] == published["symbol"][mine].tolist()
    assert ["NSVFQ".index(label) for label in rows["label"]] == published["y"][mine].tolist()
    for column, name in enumerate(("rr_prev_s", "rr_next_s")):
        known = np.array([np.nan if one is None else one for one in rows[name]], np.float32)
        assert np.array_equal(known, published["rr"][mine][:, column], equal_nan=True)
    signals = np.concatenate([one.arrays["signal"] for one in made])
    apart = np.abs(signals - 1024 - published["x"][mine])
    # It was resampled with scipy's taps, whose phases do not quite sum to one: 5 µV here and there.
    assert apart.max() <= 1
    assert np.count_nonzero(apart) / apart.size < 0.001
