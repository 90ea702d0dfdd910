"""Bodies of requests become signals; answers are those of bulk; what does not fit is refused."""

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medray.errors import DataError
from medray.modalities.media import ARROW, JSON, NPY
from medray.modalities.signal.wire import SignalWire
from medray.modalities.wire import Limits

LIMITS = Limits(decoded_bytes=2**20)
CHANCE = np.random.default_rng(0)
SIGNAL, CONTEXT = CHANCE.normal(size=(2, 2, 2, 5)).astype(np.float32)
WHOLE: dict[str, Any] = {
    "leads": ["I", "II"], "length": 5, "rate": 125.0, "context": True, "answers": "sample",
    "columns": ["rr_prev_s / rr_median_s", "rr_prev_s"],
}  # fmt: skip
BARE = {**WHOLE, "context": False, "columns": []}


def document(at: int, **more: Any) -> dict[str, Any]:
    columns = {"rr_prev_s": 0.5 + at, "rr_median_s": None}
    arrays = {"signal": SIGNAL[at].tolist(), "context": CONTEXT[at].tolist()}
    return {**arrays, "columns": columns, "sample_id": f"b{at}", **more}


def stream(columns: dict[str, Any]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def tensors(values: np.ndarray) -> Any:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def test_json_and_arrow_say_the_same() -> None:
    wire = SignalWire(WHOLE)
    told = wire.read(json.dumps([document(0), document(1)]).encode(), JSON, LIMITS)
    lists = pa.array([[0.5, None], [1.5, None]], pa.list_(pa.float32()))
    columns = {"signal": tensors(SIGNAL), "context": tensors(CONTEXT), "columns": lists}
    arrow = wire.read(stream({"sample_id": ["b0", "b1"], **columns}), ARROW, LIMITS)
    assert wire.sources == ("rr_prev_s", "rr_median_s")
    assert told.many
    assert arrow.many
    for at, (one, other) in enumerate(zip(told.samples, arrow.samples, strict=True)):
        assert (one.id, one.row) == (other.id, other.row)
        assert one.row == {"rr_prev_s": 0.5 + at, "rr_median_s": None}
        for name, wanted in (("signal", SIGNAL), ("context", CONTEXT)):
            assert (one.arrays[name] == wanted[at]).all()
            assert (other.arrays[name] == wanted[at]).all()
    assert not wire.read(json.dumps(document(0)).encode(), JSON, LIMITS).many


def test_npy_is_for_signals_without_anything_beside() -> None:
    wire = SignalWire(BARE)
    assert set(wire.takes) == {JSON, ARROW, NPY}
    assert set(SignalWire(WHOLE).takes) == {JSON, ARROW}
    one = wire.read(npy(SIGNAL[0].astype(np.float64)), NPY, LIMITS)
    assert (one.samples[0].arrays["signal"] == SIGNAL[0]).all()
    assert not one.many
    assert len(wire.read(npy(SIGNAL), NPY, LIMITS).samples) == 2
    for bad in (SIGNAL[:, :1], SIGNAL[0, 0], SIGNAL[..., :4]):
        with pytest.raises(DataError, match="model-mismatch"):
            wire.read(npy(bad), NPY, LIMITS)


def test_the_schema_says_what_is_taken() -> None:
    (one, many) = SignalWire(WHOLE).takes[JSON]["oneOf"]
    assert one["required"] == ["signal", "context"]
    assert one["properties"]["signal"]["maxItems"] == 2
    assert one["properties"]["signal"]["items"]["minItems"] == 5
    assert set(one["properties"]["columns"]["properties"]) == {"rr_prev_s", "rr_median_s"}
    assert many["items"] == one
    assert "columns" not in SignalWire(BARE).takes[JSON]["oneOf"][0]["properties"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "model-mismatch"),
        ({"signal": SIGNAL[0].tolist()}, "model-mismatch"),
        (document(0, signal=[[1.0] * 4] * 2), "model-mismatch"),
        (document(0, signal=[[1.0] * 5, [1.0] * 4]), "model-mismatch"),
        (document(0, signal=[1.0] * 5), "bad-json"),
        (document(0, signal=[["1"] * 5] * 2), "bad-json"),
        (document(0, signal=[[True] * 5] * 2), "bad-json"),
        (document(0, signal=[[1e300] * 5] * 2), "nonfinite-signal"),
        (document(0, signal=[[10**400] * 5] * 2), "bad-json"),
        (document(0, columns={"rr": 1.0}), "bad-json"),
        (document(0, columns={"rr_prev_s": "1"}), "bad-json"),
        (document(0, columns=[1.0]), "bad-json"),
        (document(0, more=1), "bad-json"),
        ([document(0), document(0)], "repeated-id"),
        ([document(0, sample_id=str(n)) for n in range(40)], "too-large"),
    ],
)
def test_bodies_that_do_not_fit_are_refused(body: Any, code: str) -> None:
    limits = Limits(decoded_bytes=2000)
    with pytest.raises(DataError) as refused:
        SignalWire(WHOLE).read(json.dumps(body).encode(), JSON, limits)
    assert refused.value.code == code


def test_a_signal_with_its_rate_is_a_recording() -> None:
    wire = SignalWire(BARE)
    values = CHANCE.normal(size=(2, 700)).astype(np.float32)
    listed = [{"signal": values.tolist(), "rate": 250}, {"signal": SIGNAL[0].tolist()}]
    whole, window = wire.read(json.dumps(listed).encode(), JSON, Limits(2**20)).samples
    assert whole.row["duration_s"] == pytest.approx(2.8)
    assert [(one["name"], one["rate"]) for one in whole.row["channels"]] == [
        ("I", 250.0), ("II", 250.0),
    ]  # fmt: skip
    assert (whole.arrays["signal_250"] == values).all()
    assert list(window.arrays) == ["signal"]
    kinds = wire.takes[JSON]["oneOf"]
    assert kinds[1]["required"] == ["signal", "rate"]
    assert kinds[2]["items"]["oneOf"] == kinds[:2]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"signal": [[1.0] * 9] * 2, "rate": 0}, "bad-json"),
        ({"signal": [[1.0] * 9] * 2, "rate": True}, "bad-json"),
        ({"signal": [[1.0] * 9] * 2, "rate": 1e6}, "bad-json"),
        ({"signal": 7, "rate": 100}, "bad-json"),
        ({"rate": 100}, "bad-json"),
        ({"signal": [[1.0] * 9], "rate": 100}, "model-mismatch"),
        ({"signal": [[1.0] * 9, [1.0] * 8], "rate": 100}, "model-mismatch"),
        ({"signal": [[], []], "rate": 100}, "model-mismatch"),
        ({"signal": [[1e300] * 9] * 2, "rate": 100}, "nonfinite-signal"),
        ({"signal": [[1.0] * 300] * 2, "rate": 100}, "too-large"),
    ],
)
def test_what_is_no_recording_is_refused(body: Any, code: str) -> None:
    with pytest.raises(DataError) as refused:
        SignalWire(BARE).read(json.dumps(body).encode(), JSON, Limits(decoded_bytes=2000))
    assert refused.value.code == code


def test_a_model_with_a_context_takes_no_recordings() -> None:
    body = json.dumps(document(0, rate=125)).encode()
    with pytest.raises(DataError, match="bad-json"):
        SignalWire(WHOLE).read(body, JSON, LIMITS)
