"""What ends the decoder of Arrow bodies ends no more than that request."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pyarrow as pa
import pytest

from medray.errors import DataError
from medray.serving import apart
from medray.serving.apart import Decoder

LIMIT = 2**22


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
        decoder.read(body)
    return caught.value.code


def test_images_come_back_as_they_were_sent(decoder: Decoder) -> None:
    for dtype in (np.uint8, np.int16, np.float32, np.float64):
        images = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7).astype(dtype)
        found = decoder.read(stream(images, sample_id=pa.array(["a", "b"])))
        assert [name for name, _ in found] == ["a", "b"]
        for (_, values), image in zip(found, images, strict=True):
            assert values.dtype == dtype
            np.testing.assert_array_equal(values, image)
    assert decoder._process is not None
    assert decoder._process.pid in [one.pid for one in psutil.Process().children()]


def test_a_death_refuses_one_request_and_the_next_is_answered(decoder: Decoder) -> None:
    images = np.ones((1, 1, 4, 4), np.uint8)
    decoder.read(stream(images))
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
    ((_, values),) = decoder.read(stream(images))
    np.testing.assert_array_equal(values, images[0])


def test_one_that_hangs_is_ended(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.ones((1, 1, 4, 4), np.uint8)
    decoder.read(stream(images))
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
    assert code_of(decoder, sink.getvalue().to_pybytes()) == "image-too-large"
    assert time.monotonic() - began < 20


def test_more_than_the_limit_is_refused(decoder: Decoder) -> None:
    assert code_of(decoder, stream(np.ones((2, 1, 2048, 1025), np.uint8))) == "image-too-large"
    decoder.read(stream(np.ones((2, 1, 2048, 1024), np.uint8)))


def test_damage_of_all_kinds_ends_in_a_refusal(decoder: Decoder) -> None:
    whole = stream(np.ones((2, 1, 8, 8), np.float32))
    chance = np.random.default_rng(11)
    codes = set()
    for _ in range(300):
        body = bytearray(whole)
        for at in chance.integers(0, len(body), 4):
            body[at] = chance.integers(0, 256)
        try:
            decoder.read(bytes(body[: chance.integers(1, len(body) + 1)]))
        except DataError as error:
            codes.add(error.code)
    assert codes <= {"bad-arrow", "image-too-large", "decoder-died"}
    assert "bad-arrow" in codes
