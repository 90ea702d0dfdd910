"""What ends the decoder of Arrow bodies ends no more than that request."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from medray.errors import DataError
from medray.modalities import apart
from medray.modalities.apart import Decoder

LIMIT = 2**22
IMAGES: dict[str, Any] = {"image": "tensor"}


def stream(images: np.ndarray, **more: pa.Array) -> bytes:
    columns = {"image": pa.FixedShapeTensorArray.from_numpy_ndarray(images), **more}
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(LIMIT)
    yield made
    made.close()


def code_of(decoder: Decoder, body: bytes) -> str:
    with pytest.raises(DataError) as caught:
        decoder.read(body, IMAGES)
    return caught.value.code


def test_images_come_back_as_they_were_sent(decoder: Decoder) -> None:
    for dtype in (np.uint8, np.int16, np.float32, np.float64):
        images = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7).astype(dtype)
        found = decoder.read(stream(images, sample_id=pa.array(["a", "b"])), IMAGES)
        assert [name for name, _ in found] == ["a", "b"]
        for (_, values), image in zip(found, images, strict=True):
            assert values["image"].dtype == dtype
            np.testing.assert_array_equal(values["image"], image)
    assert decoder._process is not None
    assert decoder._process.pid in [one.pid for one in psutil.Process().children()]


def test_a_death_refuses_one_request_and_the_next_is_answered(decoder: Decoder) -> None:
    images = np.ones((1, 1, 4, 4), np.uint8)
    decoder.read(stream(images), IMAGES)
    process = decoder._process
    assert process is not None

    def kill() -> None:
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)

    os.kill(process.pid, signal.SIGSTOP)  # so that it dies while it has the body
    killing = threading.Thread(target=kill)
    killing.start()
    assert code_of(decoder, stream(images)) == "decoder-died"
    killing.join()
    ((_, values),) = decoder.read(stream(images), IMAGES)
    np.testing.assert_array_equal(values["image"], images[0])


def test_one_that_hangs_is_ended(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.ones((1, 1, 4, 4), np.uint8)
    decoder.read(stream(images), IMAGES)
    assert decoder._process is not None
    os.kill(decoder._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(apart, "DECODE_S", 0.3)
    assert code_of(decoder, stream(images)) == "decoder-died"


def test_rows_of_nothing_are_refused_before_they_are_named(decoder: Decoder) -> None:
    table = pa.table({"image": pa.nulls(10**6)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_batch(table.to_batches()[0])
    began = time.monotonic()
    assert code_of(decoder, sink.getvalue().to_pybytes()) == "too-large"
    assert time.monotonic() - began < 20


def test_more_than_the_limit_is_refused(decoder: Decoder) -> None:
    assert code_of(decoder, stream(np.ones((2, 1, 2048, 1025), np.uint8))) == "too-large"
    decoder.read(stream(np.ones((2, 1, 2048, 1024), np.uint8)), IMAGES)


def test_damage_of_all_kinds_ends_in_a_refusal(decoder: Decoder) -> None:
    whole = stream(np.ones((2, 1, 8, 8), np.float32))
    chance = np.random.default_rng(11)
    codes = set()
    for _ in range(300):
        body = bytearray(whole)
        for at in chance.integers(0, len(body), 4):
            body[at] = chance.integers(0, 256)
        try:
            decoder.read(bytes(body[: chance.integers(1, len(body) + 1)]), IMAGES)
        except DataError as error:
            codes.add(error.code)
    assert codes <= {"bad-arrow", "too-large", "decoder-died"}
    assert "bad-arrow" in codes


def test_texts_and_lists_come_back_with_what_is_missing(decoder: Decoder) -> None:
    texts = ["ACGT", "N", "GATTACA"]
    found = decoder.read(_stream({"sequence": pa.array(texts)}), {"sequence": "text"})
    assert [values["sequence"].tobytes().decode() for _, values in found] == texts
    assert [name for name, _ in found] == ["0", "1", "2"]
    columns = {
        "a": pa.array([[1, None], None, [3, 4]], pa.list_(pa.int16())),
        "b": pa.array([[1.5], [2.5], [1e300]], pa.list_(pa.float64(), 1)),
        "c": pa.array([1, 2, 3]),  # nobody asked for it
    }
    rows = [values for _, values in decoder.read(_stream(columns), {"a": "list", "b": "list"})]
    assert [sorted(one) for one in rows] == [["a", "b"], ["b"], ["a", "b"]]
    np.testing.assert_array_equal(rows[0]["a"], np.array([1, np.nan], np.float32))
    assert [float(one["b"][0]) for one in rows] == [1.5, 2.5, np.inf]
    assert all(one.dtype == np.float32 for row in rows for one in row.values())


def test_columns_of_other_types_are_refused_and_small_numbers_count_as_they_are_read(
    decoder: Decoder,
) -> None:
    for column, kind in [
        (pa.array([[1]]), "text"),
        (pa.array(["a"]), "list"),
        (pa.array([["a"]]), "list"),
        (pa.array([[True]]), "list"),
        (pa.array([None, "a"]), "text"),
        (pa.array(["a"]).dictionary_encode(), "text"),
        (pa.array([], pa.string()), "text"),
    ]:
        with pytest.raises(DataError) as caught:
            decoder.read(_stream({"x": column}), {"x": kind})
        assert caught.value.code == "bad-arrow"
    # A byte each in the stream, and four once they are features.
    bytes_ = pa.array([[1] * (LIMIT // 4 + 1)], pa.list_(pa.int8()))
    with pytest.raises(DataError) as caught:
        decoder.read(_stream({"x": bytes_}), {"x": "list"})
    assert caught.value.code == "too-large"


def _stream(columns: dict[str, pa.Array]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue().to_pybytes()
