"""Storage formats, bit by bit: held against bits that are put together one by one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.formats.wfdb.encoding import LIMITS, encode
from medray.formats.wfdb.packing import CODINGS

Packer = Callable[[list[int]], bytes]


def bits(value: int, count: int) -> int:
    return value & (1 << count) - 1


def words_212(values: list[int]) -> bytes:
    data = b""
    for at in range(0, len(values), 2):
        first, *rest = (bits(one, 12) for one in values[at : at + 2])
        second = rest[0] if rest else 0
        data += bytes([first & 255, first >> 8 | second >> 8 << 4, second & 255])
    return data[: len(data) - len(values) % 2]


def words_310(values: list[int]) -> bytes:
    data = b""
    for at in range(0, len(values), 3):
        one, two, three = [*(bits(v, 10) for v in values[at : at + 3]), 0, 0][:3]
        data += (one << 1 | (three & 31) << 11).to_bytes(2, "little")
        data += (two << 1 | three >> 5 << 11).to_bytes(2, "little")
    return data[: len(data) - (0, 2, 0)[len(values) % 3]]


def words_311(values: list[int]) -> bytes:
    data = b""
    for at in range(0, len(values), 3):
        packed = sum(bits(v, 10) << 10 * n for n, v in enumerate(values[at : at + 3]))
        data += packed.to_bytes(4, "little")
    return data[: len(data) - (0, 2, 1)[len(values) % 3]]


def whole(size: int, order: str = "little", *, offset: int = 0, signed: bool = True) -> Packer:
    def pack(values: list[int]) -> bytes:
        made = (v + offset for v in values)
        return b"".join(v.to_bytes(size, order, signed=signed) for v in made)  # type: ignore[arg-type]

    return pack


PACKERS: dict[int, tuple[int, Packer]] = {
    16: (16, whole(2)),
    24: (24, whole(3)),
    32: (32, whole(4)),
    61: (16, whole(2, "big")),
    80: (8, whole(1, offset=128, signed=False)),
    160: (16, whole(2, offset=2**15, signed=False)),
    212: (12, words_212),
    310: (10, words_310),
    311: (10, words_311),
}


@pytest.mark.parametrize("number", PACKERS)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 500])
def test_decoding_is_exact(number: int, count: int) -> None:
    width, pack = PACKERS[number]
    rng = np.random.default_rng(count)
    values = rng.integers(-(2 ** (width - 1)), 2 ** (width - 1), count).tolist()
    values[0] = -(2 ** (width - 1))
    data, coding = pack(values), CODINGS[number]
    assert coding.size(count) == len(data)
    # The two words of 310 hold two samples or three: of such a file only a header knows.
    assert coding.samples(len(data)) == count + (number == 310 and count % 3 == 2)
    padded = data + bytes(-len(data) % coding.unit)
    found = coding.decode(np.frombuffer(padded, np.uint8)).T.reshape(-1)
    assert found[:count].tolist() == values
    assert str(found.dtype) == coding.dtype
    assert coding.missing == values[0]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(LIMITS)), st.data())
def test_encoding_is_exact(number: int, data: st.DataObject) -> None:
    low, high = LIMITS[number]
    widths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    frames = data.draw(st.integers(1, 9))
    signals = [
        np.array(data.draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), np.int32)
        for n in (frames * width for width in widths)
    ]
    order = [
        int(own[frame * width + k])
        for frame in range(frames)
        for own, width in zip(signals, widths, strict=True)
        for k in range(width)
    ]
    assert b"".join(encode(number, signals, widths)) == PACKERS[number][1](order)


def test_blocks_of_a_long_file_fit_together() -> None:
    rng = np.random.default_rng(0)
    signals = [rng.integers(-500, 500, n).astype(np.int16) for n in (300_001, 600_002)]
    data = b"".join(encode(310, signals, [1, 2]))
    padded = np.frombuffer(data + bytes(-len(data) % 4), np.uint8)
    found = CODINGS[310].decode(padded).T.reshape(-1)[:900_003].reshape(-1, 3)
    np.testing.assert_array_equal(found[:, 0], signals[0])
    np.testing.assert_array_equal(found[:, 1:].reshape(-1), signals[1])
