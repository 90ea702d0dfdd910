"""Archives of beats and windows: what becomes of their arrays, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.signal_npz import SignalNpz
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

CHANCE = np.random.default_rng(0)


def held(**more: Any) -> dict[str, Any]:
    signal = CHANCE.integers(-300, 300, (6, 20), np.int16)
    return {"signal": signal, "rate": np.int64(125), **more}


def read(root: Path, arrays: dict[str, Any], **options: Any) -> list[Sample | Refusal]:
    np.savez_compressed(root / "a.npz", **arrays)
    form = SignalNpz(SignalNpz.Options(**options))
    (group,) = form.plan(Source(root)).groups
    return list(form.read(Source(root), group[0]))


def test_beats_keep_their_numbers_and_what_they_mean(tmp_path: Path) -> None:
    arrays = held(
        y=np.uint8([0, 1, 0, 0, 1, 0]),
        symbol=np.array(list("NVNNEN")),
        record=np.int16([100, 100, 100, 101, 101, 101]),
        rr=np.float32(
            [[0.8, 0.6], [0.6, 1.0], [1.0, np.nan], [0.5, 0.5], [0.5, 0.75], [0.75, 0.5]]
        ),
        scale=np.float32(0.005),
    )
    names = {name: name for name in ("record", "symbol", "rr", "scale")}
    options = {**names, "labels": "y", "classes": ("N", "V"), "context": "median-beat"}
    made = read(tmp_path, arrays, leads=("MLII",), unit="mV", **options)
    assert [one.row["label"] for one in made] == list("NVNNVN")
    second = made[1]
    assert second.id == "a-0000001"
    assert second.row == {
        "record": "100", "subject": "100", "rate": 125.0, "leads": ["MLII"], "gain": [200.0],
        "units": ["mV"], "baseline": [0.0], "symbol": "V", "label": "V",
        "rr_prev_s": pytest.approx(0.6), "rr_next_s": 1.0, "rr_median_s": pytest.approx(0.8),
    }  # fmt: skip
    assert second.arrays["signal"].dtype == np.int16
    assert (second.arrays["signal"] == arrays["signal"][None, 1]).all()
    for at, own in ((0, slice(0, 3)), (5, slice(3, 6))):
        wanted = np.sort(arrays["signal"][own], axis=0)[1] / 200
        np.testing.assert_allclose(made[at].arrays["context"][0], wanted, rtol=1e-6)


def test_without_a_record_the_file_is_one_and_leads_have_numbers(tmp_path: Path) -> None:
    signal = CHANCE.normal(size=(4, 2, 8))
    signal[2, 1, 3] = np.nan
    made = read(tmp_path, {"w": signal}, signal="w", rate=250.0)
    assert [type(one) for one in made] == [Sample, Sample, Refusal, Sample]
    assert (made[2].code, made[2].sample) == ("nonfinite-signal", "a-0000002")
    assert made[0].row == {"record": "a", "subject": "a", "rate": 250.0, "leads": ["1", "2"]}
    assert made[0].arrays["signal"].dtype == np.float32


@pytest.mark.parametrize(
    ("arrays", "options", "code"),
    [
        ({"signal": np.zeros(5), "rate": 1}, {}, "bad-signal-shape"),
        ({"signal": np.zeros((2, 0)), "rate": 1}, {}, "bad-signal-shape"),
        ({"signal": np.zeros((2, 5), np.int64), "rate": 1}, {}, "bad-signal-type"),
        ({"signal": np.array([["a"]]), "rate": 1}, {}, "pickled-array"),
        (held(rate=np.float32(np.nan)), {}, "bad-rate"),
        (held(rate=np.array("x")), {}, "bad-rate"),
        (held(scale=0.0), {"scale": "scale"}, "bad-scale"),
        (held(y=np.zeros(5)), {"labels": "y"}, "uneven-npz"),
        (held(y=np.full(6, 2)), {"labels": "y", "classes": ("a", "b")}, "unknown-label"),
        (held(y=np.full(6, 0.5)), {"labels": "y", "classes": ("a", "b")}, "unknown-label"),
        (held(y=np.array(["c"] * 6)), {"labels": "y", "classes": ("a", "b")}, "unknown-label"),
        (held(at=np.full(6, 0.5)), {"start": "at"}, "bad-column"),
        (held(rr=np.array([["a", "b"]] * 6)), {"rr": "rr"}, "bad-column"),
        (held(s=np.frombuffer(b"\xff" * 6, "S1")), {"symbol": "s"}, "bad-text"),
        (held(s=np.full(6, 0xD800, "<u4").view("<U1")), {"symbol": "s"}, "bad-text"),
        (held(), {"leads": ("I", "II")}, "uneven-leads"),
        (held(), {"labels": "y"}, "damaged-npz"),
        (held(), {"max_bytes": 100}, "array-too-large"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    arrays: dict[str, Any], options: dict[str, Any], code: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, arrays, **options)
    assert refused.value.code == code
