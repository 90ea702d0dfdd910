"""Windows of recordings: places, gaps, labels by annotations and arrays, quality, context."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from medray.errors import DataError
from medray.formats.signal.recording import Annotation, Segment
from medray.jobs.run import run
from medray.steps.transform.transforms.resample import Resample, ResampleOptions
from medray.steps.transform.transforms.windows import WindowOptions, Windows
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from tests.recordings import beat, mitbih, recording

Make = Callable[[str, list[Sample]], Dataset]
CLASSES = {"wake": ["W"], "sleep": ["S1", "S2"]}


def ramp(size: int) -> np.ndarray:
    return np.arange(size, dtype=np.int16)[None]


def windows_of(one: Sample, **options: Any) -> tuple[list[Sample], dict[str, str]]:
    """Samples, and reasons of what was passed over by code."""
    made = list(Windows(WindowOptions(**options), {}, {}).apply(InMemory(one)))
    told = {each.code: each.reason for each in made if isinstance(each, Refusal)}
    return [each for each in made if isinstance(each, Sample)], told


def note(onset_s: float, duration_s: float | None, text: str) -> Annotation:
    return Annotation("edf", onset_s, duration_s, text)


def test_windows_are_cut_and_never_across_a_gap(objects: Objects, make_dataset: Make) -> None:
    segments = [Segment(0.0, 2.5), Segment(10.0, 1.5)]
    one = recording("r", {10.0: ramp(40)}, segments=segments, subject="s", split="train", fold=2)
    make_dataset("recordings", [one])
    step = {"kind": "transform", "data": "recordings", "output": "windows"}
    operation = {"name": "windows", "length_s": 1.0, "step_s": 0.5}
    run([{**step, "operation": operation}], storage=objects, cluster="inline")
    made = open_dataset(objects, "windows")
    rows = made.samples.to_pylist()
    assert [row["start_sample"] for row in rows] == [0, 5, 10, 15, 25, 30]
    assert [row["onset_s"] for row in rows] == [0.0, 0.5, 1.0, 1.5, 10.0, 10.5]
    for number, row in enumerate(rows):
        first = row["start_sample"]
        assert made.array(number, "signal")[...].tolist() == [list(range(first, first + 10))]
        assert (row["subject"], row["split"], row["fold"], row["rate"]) == ("s", "train", 2, 10.0)
        assert "label" not in row
    _, told = windows_of(one, length_s=1.0)
    assert told == {"ends-shorter-than-a-window": "2 ends shorter than a window"}


def test_labels_by_durations() -> None:
    notes = [note(0.0, 1.4, "W"), note(1.4, 1.6, "S1"), note(3.0, None, "S2"), note(3.2, 1, "x")]
    one = recording("r", {10.0: ramp(60)}, annotations=notes)
    made, told = windows_of(one, length_s=1.0, label="majority", classes=CLASSES)
    assert [(each.id, each.row["label"]) for each in made] == [
        ("r:0", "wake"), ("r:10", "sleep"), ("r:20", "sleep")
    ]  # fmt: skip
    assert told == {"windows-that-are-not-judged": "3 windows that are not judged"}
    made, _ = windows_of(one, length_s=1.0, label="any", classes=CLASSES)
    assert [each.row["label"] for each in made] == ["wake", "wake", "sleep", "sleep"]
    rest = {**CLASSES, "rest": []}
    made, _ = windows_of(one, length_s=1.0, label="majority", classes=rest, other="rest")
    assert [each.row["label"] for each in made] == ["wake", *["sleep"] * 2, *["rest"] * 3]
    made, _ = windows_of(one, length_s=2.0, label="samples", classes=CLASSES)
    tracks = [InMemory(each).array("label").tolist() for each in made]
    assert tracks == [[0] * 14 + [1] * 6, [1] * 10 + [1] + [255] * 9, [255] * 20]


def test_overlaps_and_points() -> None:
    notes = [note(0.0, 3.0, "W"), note(1.0, 1.0, "S1"), note(4.55, 0.0, "S1")]
    one = recording("r", {10.0: ramp(60)}, annotations=notes)
    made, _ = windows_of(one, length_s=6.0, label="samples", classes=CLASSES)
    track = InMemory(made[0]).array("label")
    assert track.tolist() == [0] * 10 + [1] * 10 + [0] * 10 + [255] * 16 + [1] + [255] * 13
    made, _ = windows_of(one, length_s=1.0, label="any", classes=CLASSES)
    assert [each.row["label"] for each in made] == ["wake", "wake", "wake", "sleep"]
    marks = [beat(5, 10.0), beat(12, 10.0, "V"), beat(25, 10.0), beat(33, 10.0, "V")]
    one = recording("r", {10.0: ramp(40)}, annotations=marks)
    classes = {"ectopic": ["V"], "normal": ["N"]}
    made, _ = windows_of(one, length_s=2.0, label="any", lasts="point", classes=classes)
    assert [each.row["label"] for each in made] == ["ectopic", "ectopic"]
    made, _ = windows_of(one, length_s=1.0, label="any", lasts="point", classes=classes)
    assert [each.row["label"] for each in made] == ["normal", "ectopic", "normal", "ectopic"]


def test_rhythms_last_until_the_next() -> None:
    marks = [
        Annotation("atr", 0.5, text="(N", sample=5, symbol="+"),
        beat(8, 10.0),
        Annotation("atr", 2.0, text="(AFIB", sample=20, symbol="+"),
        Annotation("atr", 3.0, text="(P", sample=30, symbol="+"),
        Annotation("atr", 4.0, text="(N", sample=40, symbol="+"),
    ]
    one = recording("r", {10.0: ramp(50)}, annotations=marks)
    classes = {"sinus": ["(N"], "fibrillation": ["(AFIB"]}
    options = {"length_s": 5.0, "lasts": "until-next", "label": "samples", "classes": classes}
    made, _ = windows_of(one, **options)
    track = InMemory(made[0]).array("label").tolist()
    assert track == [255] * 5 + [0] * 15 + [1] * 10 + [255] * 10 + [0] * 10
    made, _ = windows_of(one, **{**options, "classes": {"a": ["(VT"], "b": ["(VFL"]}})
    assert set(InMemory(made[0]).array("label").tolist()) == {255}  # it has none of these


@pytest.mark.parametrize("rate", [None, 25.0])
def test_labels_by_an_array(rate: float | None) -> None:
    one = recording("r", {100.0: ramp(400)})
    one.arrays["eye"] = np.repeat(np.array([0, 1, 9, 1], np.uint8), 100)
    options: dict[str, Any] = {"array": "eye", "classes": {"open": [], "closed": []}, "rate": rate}
    made, told = windows_of(one, length_s=1.0, label="majority", **options)
    assert [each.row["label"] for each in made] == ["open", "closed", "closed"]
    assert told == {"windows-that-are-not-judged": "1 windows that are not judged"}
    made, _ = windows_of(one, length_s=2.0, label="samples", **options)
    kinds = [np.unique(InMemory(each).array("label"), return_counts=True) for each in made]
    half = round(rate or 100.0)
    assert [(each.tolist(), counts.tolist()) for each, counts in kinds] == [
        ([0, 1], [half, half]), ([1, 255], [half, half])
    ]  # fmt: skip


def test_quality_is_the_share_of_sound_values() -> None:
    values = np.random.default_rng(0).integers(-900, 900, (2, 500)).astype(np.int16)
    values[0, 120:180] = 7  # flat
    values[1, 210:230] = -32768  # missing
    values[0, 300:310] = 1000  # at its limit
    values[0, 450:455] = 3  # no flat line: too short
    one = recording("r", {100.0: values}, missing=-32768)
    for channel in one.row["channels"]:
        channel["high"] = 1000
    made, _ = windows_of(one, length_s=1.0, flat_s=0.3)
    assert [each.row["quality"] for each in made] == [1.0, 0.7, 0.9, 0.95, 1.0]
    assert made[0].row["missing"] == [-32768, -32768]
    made, told = windows_of(one, length_s=1.0, flat_s=0.3, min_quality=0.9)
    assert [each.id for each in made] == ["r:0", "r:200", "r:300", "r:400"]
    assert told == {"windows-of-low-quality": "1 windows of low quality"}


def test_windows_at_another_rate_are_those_of_the_resampled_recording() -> None:
    values = np.random.default_rng(0).integers(-900, 900, (2, 3600)).astype(np.int16)
    one = recording("r", {360.0: values})
    (whole,) = Resample(ResampleOptions(rate=125), {}, {}).apply(InMemory(one))
    made, _ = windows_of(one, length_s=2.0, rate=125)
    other, _ = windows_of(whole, length_s=2.0)
    assert len(made) == 5
    for left, right in zip(made, other, strict=True):
        assert np.array_equal(InMemory(left).array("signal"), InMemory(right).array("signal"))
        assert left.row == right.row


def test_the_context_is_the_median_beat_of_the_record() -> None:
    values = np.zeros((1, 400), np.int16)
    marks = [beat(at, 100.0) for at in (50, 150, 250)]
    for at, height in ((50, 100), (150, 200), (250, 900)):
        values[0, at] = height
    one = recording("r", {100.0: values}, annotations=marks)
    made, _ = windows_of(one, length_s=2.0, context="annotated", before_s=0.02, after_s=0.03)
    for each in made:
        assert InMemory(each).array("context").tolist() == [[0, 0, 1.0, 0, 0]]
        assert each.row["rr_median_s"] == 1.0
    with pytest.raises(DataError) as caught:
        windows_of(recording("r", {100.0: values}), length_s=2.0, context="annotated")
    assert caught.value.code == "no-beats"


@pytest.mark.parametrize(
    ("options", "code"),
    [({"length_s": 0.01}, "no-samples"), ({"length_s": 1e8}, "window-too-long")],
)
def test_windows_that_cannot_be_are_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as caught:
        windows_of(recording("r", {10.0: ramp(100)}), **options)
    assert caught.value.code == code


def test_options_fit_each_other() -> None:
    for options in ({"label": "any"}, {"label": "any", "classes": CLASSES, "other": "nap"}):
        with pytest.raises(ValidationError):
            WindowOptions(length_s=1.0, **options)


@pytest.mark.real_data
def test_rhythms_of_a_real_record(data_dir: Path) -> None:
    classes = {
        "sinus": ["(N"],
        "fibrillation": ["(AFIB"],
        "ventricular": ["(VT"],
        "flutter": ["(AFL"],
    }
    options = {"length_s": 10.0, "lasts": "until-next", "label": "majority", "classes": classes}
    record = mitbih(data_dir, "203")
    made, _ = windows_of(record, leads=["MLII"], **options)
    names = {own[0]: name for name, own in classes.items()}
    track = np.full(650_000, "", dtype="<U12")
    for one in record.row["annotations"]:
        if one["symbol"] == "+":
            track[one["sample"] :] = names.get(one["text"], "")
    known = [
        Counter(track[at : at + 3600].tolist()).most_common(1)[0][0]
        for at in range(0, 648_000, 3600)
    ]
    assert [each.row["label"] for each in made] == [name for name in known if name]
    assert Counter(known) == {"fibrillation": 147, "flutter": 32, "ventricular": 1}


def test_blocks_stay_together_and_windows_over_two_are_left_out() -> None:
    one = recording("r", {10.0: ramp(60)}, segments=[Segment(0.0, 4.0), Segment(10.0, 2.0)])
    cut = {"length_s": 1.0, "step_s": 0.5, "block_s": 2.0}
    found, told = windows_of(one, **cut, folds=3)
    blocks = [0, 0, 0, 1, 1, 1, 5, 5, 5]
    assert [each.row["onset_s"] for each in found] == [0, 0.5, 1, 2, 2.5, 3, 10, 10.5, 11]
    assert [each.row["block"] for each in found] == [f"r:{number}" for number in blocks]
    assert [each.row["fold"] for each in found] == [number % 3 for number in blocks]
    assert told["windows-over-two-blocks"] == "1 windows over two blocks"
    plain, _ = windows_of(one, **cut)
    assert all("fold" not in each.row for each in plain)


def test_windows_by_chance_are_those_of_blocks_in_other_folds() -> None:
    one = recording("r", {10.0: ramp(4000)})
    cut = {"length_s": 1.0, "step_s": 0.5, "block_s": 40.0, "folds": 5}
    blocked, chance = (windows_of(one, **cut, parted=how)[0] for how in ("blocks", "windows"))
    assert [each.id for each in blocked] == [each.id for each in chance]
    held = Counter((each.row["block"], each.row["fold"]) for each in chance)
    assert len({block for block, _ in held}) == 10
    assert len(held) == 50  # each block is in all folds
    again, _ = windows_of(one, length_s=1.0, step_s=0.5, folds=5, parted="windows")
    own = {each.id: each.row["fold"] for each in again}
    assert all(own[each.id] == each.row["fold"] for each in chance)


def test_folds_need_blocks_and_a_record_without_a_fold() -> None:
    with pytest.raises(ValidationError, match="block_s"):
        WindowOptions(length_s=1, folds=5)
    with pytest.raises(ValidationError, match="folds"):
        WindowOptions(length_s=1, parted="windows")
    one = recording("r", {10.0: ramp(40)}, fold=1)
    with pytest.raises(DataError) as caught:
        windows_of(one, length_s=1, block_s=2, folds=2)
    assert caught.value.code == "fold-is-taken"


def test_values_beyond_limits_are_not_sound() -> None:
    one = recording("r", {10.0: ramp(20)}, gain=2.0)
    found, _ = windows_of(one, length_s=1.0, limits=(1.0, 8.0))
    # In units 0, 0.5, …: 0, 0.5, 1 and, of the second window, 8 and beyond are out.
    assert [each.row["quality"] for each in found] == [0.7, 0.6]
    found, told = windows_of(one, length_s=1.0, limits=(1.0, 8.0), min_quality=0.65)
    assert len(found) == 1
    assert told["windows-of-low-quality"] == "1 windows of low quality"
    with pytest.raises(ValidationError, match="limits"):
        WindowOptions(length_s=1, limits=(2, 1))
